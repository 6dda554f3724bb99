"""X.509 certificates, with which people sign in to Windows guests: reading those that users bring, making new ones."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from infra.domain.errors import BadRequest

MAX_LENGTH = 16384
_RSA_BITS = 2048
_LIFETIME = datetime.timedelta(days=3650)
# Microsoft's user principal name: the form in which WinRM looks for who a certificate belongs to.
_PRINCIPAL = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_NAME_LENGTH = 64


def read(text: str) -> tuple[str, str]:
    """A certificate in PEM, as this module writes it, and its fingerprint; what stands around it is dropped.

    Raises:
        BadRequest: it is no such certificate.
    """
    if len(text) > MAX_LENGTH:
        raise BadRequest("Keypair data is invalid: the certificate is too long.")
    try:
        certificate = x509.load_pem_x509_certificate(text.encode())
        return _shown(certificate)
    except ValueError:
        raise BadRequest("Keypair data is invalid: failed to generate X509 fingerprint") from None


def generate(user: str) -> tuple[str, str, str]:
    """(private key, self-signed certificate, fingerprint), for ``user`` to sign in with; key and certificate in PEM."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user[:_NAME_LENGTH])])
    begin = datetime.datetime.now(datetime.UTC)
    principal = f"{user[:_NAME_LENGTH]}@localhost".encode()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(made.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + _LIFETIME)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.OtherName(_PRINCIPAL, _utf8_string(principal))]), critical=False
        )
        .sign(made, hashes.SHA256())
    )
    private = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private, *_shown(certificate)


def _utf8_string(text: bytes) -> bytes:
    """DER of a UTF8String shorter than 128 bytes (X.690, 8.1.3.4)."""
    return bytes([0x0C, len(text)]) + text


def _shown(certificate: x509.Certificate) -> tuple[str, str]:
    # SHA-1 is what the compute API shows for certificates; it protects nothing.
    digest = certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303
    pairs = ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
    return certificate.public_bytes(Encoding.PEM).decode(), pairs
