"""A secret of each rule, put together here: none stands in a file where scanners would find it."""

from __future__ import annotations

_A = "A1b2C3d4E5f6G7h8"

SECRETS: dict[str, str] = {
    "aws_access_key": "AKI" + "AQ2W3E4R5T6Y7U2I3",
    "google_api_key": "AIz" + "aSyD-q7W2e9R4t1Y6u3I8o5P0a_S2d4F6g8h",
    "azure_storage_key": "Account" + "Key=" + _A * 5 + "abcdef==",
    "anthropic_api_key": "sk-" + "ant-api03-" + _A * 5,
    "openai_api_key": "sk-" + "proj-" + _A * 3,
    "model_provider_key": "gs" + "k_" + _A * 3,
    "huggingface_token": "hf" + "_" + _A * 2,
    "github_token": "gh" + "p_" + _A * 2 + "abcd",
    "gitlab_token": "glp" + "at-" + _A + "abcdef",
    "slack_token": "xox" + "b-1234567890-" + _A,
    "stripe_key": "sk_" + "live_" + _A * 2,
    "registry_token": "np" + "m_" + _A * 2 + "abcd",
    "private_key": (
        "-----BEGIN RSA PRIV" + "ATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" + f"{_A * 4}\n" * 3
        + "ab+/==\n-----END RSA PRIV" + "ATE KEY-----"
    ),
    "jwt": "ey" + "JhbGciOiJIUzI1NiJ9.eyJ" + _A + "." + _A * 2,
    "connection_string": ":/" + "/app:s3cr3t-pw@",
}  # fmt: skip

MORE: tuple[tuple[str, str], ...] = (
    ("aws_access_key", "ASI" + "AQ2W3E4R5T6Y7U2I3"),
    ("model_provider_key", "sk-" + _A * 3),
    ("model_provider_key", "sk-" + "or-v1-" + "0123456789abcdef" * 4),
    ("model_provider_key", "xa" + "i-" + _A * 5),
    ("openai_api_key", "sk-" + "svcacct-" + _A * 3),
    ("github_token", "github" + "_pat_" + _A * 4),
    ("slack_token", "xap" + "p-1-A0123456789-1234567890123-" + _A * 3),
    ("stripe_key", "rk_" + "live_" + _A * 2),
    ("registry_token", "pypi" + "-AgEIcHlwaS5vcmc" + _A * 4),
    (
        "private_key",
        "-----BEGIN PGP PRIV"
        + f"ATE KEY BLOCK-----\r\nVersion: GnuPG v2\r\n\r\n{_A}\r\n=abcd\r\n-----END PGP PRIV"
        + "ATE KEY BLOCK-----",
    ),
)

# what looks a little like one, and is none
HARMLESS: tuple[str, ...] = (
    "task-0123456789abcdef0123456789abcdef0123",
    "risk-assessment-of-the-second-quarter-for-everybody",
    "0b6f9f3e-3b5e-4a3c-9d1e-111122223333",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "https://example.org:8443/a/b?c=d@e",
    "https://user@example.org/",
    "postgresql://app@db.internal/app",
    "postgresql://app:$CRED{db}@db.internal/app",
    "postgresql://app:${DB_PASSWORD}@db.internal/app",
    "postgresql://app:<password>@db.internal/app",
    "see http://a.b:80, or ask me@example.org",
    "$CRED{anthropic}",
    "sk-learn and scikit-learn",
    "sk-ant-",
    "eyJhbGciOiJIUzI1NiJ9",
    "the PRIVATE KEY is kept elsewhere",
    "AKIA is how they begin",
    "BASIC AND EURASIA",
)
