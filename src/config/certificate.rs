//! When a certificate ends, for those who must replace it before.

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::x509::X509;

use super::deployment::Secret;

const DAY_S: i64 = 86_400;

/// The earliest end among the certificates of a PEM text: what is shown is good for as long as all
/// of them are. *Units*: seconds since 1970. `None` where it holds none.
#[must_use]
pub fn end_s(pem: &Secret) -> Option<i64> {
    let certificates = X509::stack_from_pem(pem.reveal().as_bytes()).ok()?;
    certificates.iter().filter_map(|certificate| since_1970(certificate.not_after()).ok()).min()
}

fn since_1970(time: &Asn1TimeRef) -> Result<i64, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(i64::from(since.days) * DAY_S + i64::from(since.secs))
}

#[cfg(test)]
pub(crate) mod tests {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;

    use super::*;

    /// A certificate that ends then, and its key.
    pub(crate) fn ending(end_s: i64) -> Result<(String, String), ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut certificate = X509::builder()?;
        certificate.set_pubkey(&key)?;
        certificate.set_not_before(Asn1Time::from_unix(0)?.as_ref())?;
        certificate.set_not_after(Asn1Time::from_unix(end_s)?.as_ref())?;
        certificate.sign(&key, MessageDigest::sha256())?;
        let text = |pem: Vec<u8>| String::from_utf8_lossy(&pem).into_owned();
        Ok((text(certificate.build().to_pem()?), text(key.private_key_to_pem_pkcs8()?)))
    }

    #[test]
    fn a_chain_ends_with_the_first_of_its_certificates() {
        let (late, _) = ending(4_102_444_800).expect("made");
        let (early, key) = ending(1_900_000_001).expect("made");

        assert_eq!(end_s(&Secret::new(late.clone())), Some(4_102_444_800));
        assert_eq!(end_s(&Secret::new(late + &early)), Some(1_900_000_001));
        assert_eq!(end_s(&Secret::new(key)), None);
    }
}
