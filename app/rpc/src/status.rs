//! Refusals as gRPC statuses: the same numbers and words as in blocks (docs/errors.md).

use tidemark_proto::grpc::grpc_code;
use tidemark_proto::{Code, Refusal};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::Status;

/// Metadata key of the code's number.
pub const CODE_KEY: &str = "tidemark-code";

/// A refusal as a status: message `WORD: sentence`, metadata [`CODE_KEY`] the number.
#[must_use]
pub fn status(refusal: &Refusal) -> Status {
    with_grpc_code(grpc_code(refusal.code), refusal)
}

/// A refusal under another gRPC code than its own, where the request and not the chain decides it.
#[must_use]
pub fn with_grpc_code(grpc: tonic::Code, refusal: &Refusal) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert(CODE_KEY, MetadataValue::from(refusal.code.number()));
    Status::with_metadata(grpc, refusal.to_string(), metadata)
}

/// A status of one code and sentence.
#[must_use]
pub fn refuse(code: Code, message: impl Into<String>) -> Status {
    status(&Refusal::new(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, word, meaning and name of every code, read from where they are defined.
    fn defined() -> Vec<(u32, &'static str, String, &'static str)> {
        let mut codes = Vec::new();
        let mut meaning = String::new();
        let source = include_str!("../../../proto/src/codes.rs");
        let list = source.split_once("codes! {").unwrap().1.split_once("\n}").unwrap().0;
        for line in list.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(text) = line.strip_prefix("/// ") {
                meaning =
                    if meaning.is_empty() { text.to_owned() } else { format!("{meaning} {text}") };
                continue;
            }
            let (name, rest) = line.split_once(" = ").unwrap();
            let (number, word) = rest.split_once(", ").unwrap();
            let word = word.trim_matches(|c| c == '"' || c == ';');
            codes.push((number.parse().unwrap(), word, std::mem::take(&mut meaning), name));
        }
        codes
    }

    fn screaming(code: tonic::Code) -> String {
        let mut out = String::new();
        for c in format!("{code:?}").chars() {
            if c.is_ascii_uppercase() && !out.is_empty() {
                out.push('_');
            }
            out.push(c.to_ascii_uppercase());
        }
        out
    }

    #[test]
    fn docs_errors_lists_every_code_with_its_meaning_and_grpc_status() {
        let expected: Vec<String> = defined()
            .iter()
            .map(|(number, word, meaning, _)| {
                let code = Code::from_number(*number).unwrap();
                assert_eq!(code.word(), *word);
                format!("| {number} | `{word}` | {meaning} | {} |", screaming(grpc_code(code)))
            })
            .collect();
        assert_eq!(expected.len(), Code::ALL.len());
        let docs = include_str!("../../../docs/errors.md");
        let rows: Vec<&str> = docs
            .lines()
            .filter(|line| {
                line.starts_with("| ") && line[2..].starts_with(|c: char| c.is_ascii_digit())
            })
            .collect();
        assert_eq!(
            rows,
            expected,
            "docs/errors.md should hold these rows:\n{}",
            expected.join("\n")
        );
    }

    #[test]
    fn every_refusal_has_an_error_status_that_names_word_and_number() {
        for code in Code::ALL.iter().filter(|code| **code != Code::Ok) {
            let status = refuse(*code, "why");
            assert_ne!(status.code(), tonic::Code::Ok, "{code}");
            assert_eq!(status.message(), format!("{}: why", code.word()));
            assert_eq!(
                status.metadata().get(CODE_KEY).unwrap(),
                code.number().to_string().as_str()
            );
        }
        assert_eq!(grpc_code(Code::Ok), tonic::Code::Ok);
    }

    #[test]
    fn clients_can_tell_what_to_do_from_the_grpc_code() {
        for (code, grpc) in [
            (Code::BadSignature, tonic::Code::Unauthenticated),
            (Code::SequenceGap, tonic::Code::Aborted),
            (Code::Overloaded, tonic::Code::ResourceExhausted),
            (Code::UnknownMarket, tonic::Code::NotFound),
            (Code::InsufficientCollateral, tonic::Code::FailedPrecondition),
            (Code::TxMalformed, tonic::Code::InvalidArgument),
            (Code::NotAuthorised, tonic::Code::PermissionDenied),
            (Code::DuplicateClientId, tonic::Code::AlreadyExists),
        ] {
            assert_eq!(grpc_code(code), grpc, "{code}");
        }
    }
}
