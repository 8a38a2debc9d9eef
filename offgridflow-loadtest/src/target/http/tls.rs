//! TLS by rustls, with *ring* for its cryptography.

use std::{fmt, io, sync::Arc};

use rustls_native_certs::load_native_certs;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
        SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    },
};

use super::stream::Stream;
use crate::error::ConfigError;

/// HTTP/2 in the words of TLS (RFC 9113, section 3.2).
const H2: &[u8] = b"h2";

/// How connections to a host are encrypted.
#[derive(Clone)]
pub(super) struct Tls {
    name: ServerName<'static>,
    trust: Trust,
    http2: bool,
    connector: TlsConnector,
}

/// Whose certificates are believed.
#[derive(Clone)]
enum Trust {
    System,
    /// These authorities, and nobody else.
    Only(Vec<CertificateDer<'static>>),
    Anybody,
}

impl Tls {
    /// With the authorities that this system trusts.
    pub(super) fn to(host: &str) -> Result<Self, ConfigError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| {
            ConfigError::new("url", format!("`{host}` is not a name that a certificate could hold"))
        })?;
        Self::with(name, Trust::System, false)
    }

    /// With the authorities of a PEM file, in place of the system's.
    pub(super) fn trusting(self, pem: &[u8]) -> Result<Self, ConfigError> {
        let wrong = |hint: &str| ConfigError::new("ca_file", hint);
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let authorities =
            read.map_err(|_| wrong("it is not PEM: a certificate begins with -----BEGIN CERTIFICATE-----"))?;
        if authorities.is_empty() {
            return Err(wrong("it holds no certificate: one begins with -----BEGIN CERTIFICATE-----"));
        }
        Self::with(self.name, Trust::Only(authorities), self.http2)
    }

    /// Whoever the server says it is.
    pub(super) fn insecure(self) -> Result<Self, ConfigError> {
        Self::with(self.name, Trust::Anybody, self.http2)
    }

    /// Asks the server for HTTP/2.
    pub(super) fn speaking_http2(self) -> Result<Self, ConfigError> {
        Self::with(self.name, self.trust, true)
    }

    pub(super) fn is_insecure(&self) -> bool {
        matches!(self.trust, Trust::Anybody)
    }

    fn with(name: ServerName<'static>, trust: Trust, http2: bool) -> Result<Self, ConfigError> {
        let wrong = |error: Error| ConfigError::new("ca_file", error.to_string());
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(wrong)?;
        let mut config = match &trust {
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(BelievesAnybody(provider)))
                .with_no_client_auth(),
            Trust::Only(authorities) => {
                let mut roots = RootCertStore::empty();
                authorities.iter().cloned().try_for_each(|authority| roots.add(authority)).map_err(wrong)?;
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Trust::System => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(load_native_certs().certs);
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![if http2 { H2.to_vec() } else { b"http/1.1".to_vec() }];
        Ok(Self { name, trust, http2, connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Shakes hands; an error of a certificate says what to do about it.
    pub(super) async fn shake(&self, stream: TcpStream) -> io::Result<Stream> {
        let shaken = self.connector.connect(self.name.clone(), stream).await.map_err(advised)?;
        if self.http2 && shaken.get_ref().1.alpn_protocol() != Some(H2) {
            return Err(io::Error::other(NO_HTTP2));
        }
        Ok(Stream::Encrypted(Box::new(shaken)))
    }
}

const ANY: &str = "believe any (`insecure`, --insecure)";
/// What webpki calls it.
const AUTHORITYS: &str = "CaUsedAsEndEntity";
const NO_HTTP2: &str = "the server does not speak HTTP/2 here: leave it out";

fn advised(error: io::Error) -> io::Error {
    let about = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match about {
        Some(Error::InvalidCertificate(why)) => io::Error::other(match why {
            CertificateError::UnknownIssuer => {
                format!("{error}: name the authority that signed it (`ca_file`, --ca-file), or {ANY}")
            }
            CertificateError::Other(other) if other.to_string() == AUTHORITYS => {
                format!(
                    "invalid peer certificate: it is an authority's, as those are that sign themselves, and no server's: have it sign one for the server, or {ANY}"
                )
            }
            _ => format!("{error}: give the server another one, or {ANY}"),
        }),
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => io::Error::other(NO_HTTP2),
        Some(Error::InvalidMessage(_)) => {
            io::Error::other(format!("{error}: does the server speak TLS on this port?"))
        }
        _ => error,
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Checks that the server holds the key of the certificate that it shows, and nothing about whose that is.
#[derive(Debug)]
struct BelievesAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for BelievesAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::client::WebPkiServerVerifier;

    use super::*;

    /// What is said of a certificate that is shown to somebody who believes the authority.
    fn said(shown: &[u8], name: &'static str, seconds: u64) -> String {
        let certificate = |pem| CertificateDer::from_pem_slice(pem).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate(testkit::certificates::AUTHORITY)).expect("an authority");
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
        let name = ServerName::try_from(name).expect("a name");
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let verified =
            verifier.expect("a verifier").verify_server_cert(&certificate(shown), &[], &name, &[], now);
        advised(io::Error::other(verified.expect_err("refused"))).to_string()
    }

    #[test]
    fn a_remedy_is_one_for_what_is_wrong() {
        use testkit::certificates::{AUTHORITY, SERVER};
        let of_authority = said(AUTHORITY, "localhost", UnixTime::now().as_secs());
        assert!(
            of_authority.contains("it is an authority's, as those are that sign themselves"),
            "{of_authority}"
        );
        let early = said(SERVER, "localhost", 1);
        assert!(early.contains("not valid") && !early.contains("ca_file"), "{early}");
        let other = said(SERVER, "example.com", UnixTime::now().as_secs());
        assert!(other.contains("example.com") && !other.contains("ca_file"), "{other}");
        for said in [of_authority, early, other] {
            assert!(said.ends_with("or believe any (`insecure`, --insecure)"), "{said}");
        }
    }
}
