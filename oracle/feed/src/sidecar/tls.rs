//! Whom to trust: the system's certificates, or those of one file.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// A TLS client that trusts the certificates in `ca_file` (PEM) and no others; without a file, the
/// system's.
///
/// # Errors
/// A sentence when there are none.
pub fn client(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let (certificates, origin) = match ca_file {
        Some(file) => (of_file(file)?, file.display().to_string()),
        None => {
            let found = rustls_native_certs::load_native_certs();
            for error in found.errors {
                tracing::warn!(%error, "a certificate of the system cannot be read");
            }
            (found.certs, "the system's store".to_owned())
        }
    };
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(certificates);
    if usable == 0 {
        return Err(format!(
            "no certificate to trust in {origin}; install ca-certificates, or set ca_file"
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn of_file(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let cannot =
        |error: rustls::pki_types::pem::Error| format!("ca_file {}: {error}", file.display());
    CertificateDer::pem_file_iter(file).map_err(cannot)?.collect::<Result<_, _>>().map_err(cannot)
}
