//! A remote signer of CometBFT: it signs a validator's votes and proposals rightly, and the
//! extensions of the votes for another chain.
//!
//! Neither an application nor CometBFT would make such a vote. CometBFT lets a process of its own
//! hold the key, and takes what that process signs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{Engine as _, BASE64_STANDARD};
use ed25519_consensus::SigningKey;
use prost::Message as _;
use tendermint_proto::v0_38::crypto::{public_key, PublicKey};
use tendermint_proto::v0_38::privval::message::Sum;
use tendermint_proto::v0_38::privval::{
    Message, PingResponse, PubKeyResponse, SignProposalRequest, SignVoteRequest,
    SignedProposalResponse, SignedVoteResponse,
};
use tendermint_proto::v0_38::types::{
    BlockId, CanonicalBlockId, CanonicalPartSetHeader, CanonicalProposal, CanonicalVote,
    CanonicalVoteExtension, SignedMsgType,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// The chain for which extensions are signed.
const FOREIGN_CHAIN_ID: &str = "tidemark-of-others-1";
/// Between two tries to reach CometBFT.
const RETRY: Duration = Duration::from_millis(50);

/// Signs until it is dropped.
pub struct ForeignSigner {
    signed: Arc<AtomicU64>,
    serving: JoinHandle<()>,
}

impl ForeignSigner {
    /// Serves the CometBFT that will listen at `socket`, with the key of the validator at `home`.
    pub fn start(home: &Path, socket: PathBuf) -> Self {
        let text = std::fs::read(home.join("config/priv_validator_key.json")).unwrap();
        let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let bytes = BASE64_STANDARD.decode(text["priv_key"]["value"].as_str().unwrap()).unwrap();
        let seed: [u8; 32] = bytes[..32].try_into().unwrap();
        let signed = Arc::new(AtomicU64::new(0));
        let key = Key { key: SigningKey::from(seed), signed: Arc::clone(&signed) };
        let serving = tokio::spawn(async move {
            loop {
                if let Ok(stream) = UnixStream::connect(&socket).await {
                    // It ends with an error whenever CometBFT does.
                    let _ = key.serve(stream).await;
                }
                tokio::time::sleep(RETRY).await;
            }
        });
        Self { signed, serving }
    }

    /// How many extensions have been signed.
    pub fn signed(&self) -> u64 {
        self.signed.load(Ordering::Relaxed)
    }
}

impl Drop for ForeignSigner {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Key {
    key: SigningKey,
    signed: Arc<AtomicU64>,
}

impl Key {
    /// Each message has its length before it, as a varint.
    async fn serve(&self, mut stream: UnixStream) -> std::io::Result<()> {
        loop {
            let mut length = 0_usize;
            for shift in (0..).step_by(7) {
                let byte = stream.read_u8().await?;
                length |= usize::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).await?;
            let Some(request) = Message::decode(&*bytes)?.sum else { continue };
            let Some(answer) = self.answer(request) else { continue };
            let answer = Message { sum: Some(answer) };
            stream.write_all(&answer.encode_length_delimited_to_vec()).await?;
        }
    }

    fn answer(&self, request: Sum) -> Option<Sum> {
        Some(match request {
            Sum::PingRequest(_) => Sum::PingResponse(PingResponse {}),
            Sum::PubKeyRequest(_) => {
                let public = self.key.verification_key().to_bytes().to_vec();
                let sum = Some(public_key::Sum::Ed25519(public));
                Sum::PubKeyResponse(PubKeyResponse {
                    pub_key: Some(PublicKey { sum }),
                    error: None,
                })
            }
            Sum::SignVoteRequest(request) => Sum::SignedVoteResponse(self.vote(request)?),
            Sum::SignProposalRequest(request) => {
                Sum::SignedProposalResponse(self.proposal(request)?)
            }
            _ => return None,
        })
    }

    fn sign(&self, message: &impl prost::Message) -> Vec<u8> {
        self.key.sign(&message.encode_length_delimited_to_vec()).to_bytes().to_vec()
    }

    fn vote(&self, request: SignVoteRequest) -> Option<SignedVoteResponse> {
        let mut vote = request.vote?;
        let block_id = canonical(vote.block_id.as_ref());
        let is_for_a_block = block_id.is_some();
        vote.signature = self.sign(&CanonicalVote {
            r#type: vote.r#type,
            height: vote.height,
            round: i64::from(vote.round),
            block_id,
            timestamp: vote.timestamp,
            chain_id: request.chain_id,
        });
        if vote.r#type == SignedMsgType::Precommit as i32 && is_for_a_block {
            vote.extension_signature = self.sign(&CanonicalVoteExtension {
                extension: vote.extension.clone(),
                height: vote.height,
                round: i64::from(vote.round),
                chain_id: FOREIGN_CHAIN_ID.to_owned(),
            });
            self.signed.fetch_add(1, Ordering::Relaxed);
        }
        Some(SignedVoteResponse { vote: Some(vote), error: None })
    }

    fn proposal(&self, request: SignProposalRequest) -> Option<SignedProposalResponse> {
        let mut proposal = request.proposal?;
        proposal.signature = self.sign(&CanonicalProposal {
            r#type: SignedMsgType::Proposal as i32,
            height: proposal.height,
            round: i64::from(proposal.round),
            pol_round: i64::from(proposal.pol_round),
            block_id: canonical(proposal.block_id.as_ref()),
            timestamp: proposal.timestamp,
            chain_id: request.chain_id,
        });
        Some(SignedProposalResponse { proposal: Some(proposal), error: None })
    }
}

/// The id as it is signed: nothing for the id of no block.
fn canonical(id: Option<&BlockId>) -> Option<CanonicalBlockId> {
    let id = id.filter(|id| !id.hash.is_empty())?;
    let header = id.part_set_header.as_ref()?;
    let part_set_header =
        Some(CanonicalPartSetHeader { total: header.total, hash: header.hash.clone() });
    Some(CanonicalBlockId { hash: id.hash.clone(), part_set_header })
}
