"""The settings of the service: its own, and those of clerk_convex."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

import clerk_convex


class AppSettings(BaseSettings):
    """Read from the environment, and from `.env` in the current directory."""

    # Without hide_input_in_errors, the error about a missing setting quotes the others, secrets too.
    model_config = SettingsConfigDict(env_file=".env", extra="ignore", hide_input_in_errors=True)

    app_name: str = "Orchard"
    api_prefix: str = "/v1"

    convex_url: str
    convex_deploy_key: SecretStr
    clerk_webhook_signing_secret: SecretStr
    clerk_secret_key: SecretStr
    clerk_jwt_issuer_domain: str
    clerk_instance_id: str = ""  # ins_…: refuses events and keys of another instance
    clerk_authorized_parties: str = ""  # the origin of the users page
    clerk_api_url: str = "https://api.clerk.com"

    def for_clerk_convex(self) -> clerk_convex.Settings:
        """Return the part that clerk_convex uses. It checks each value."""
        return clerk_convex.Settings.from_env(
            {
                "CONVEX_URL": self.convex_url,
                "CONVEX_DEPLOY_KEY": self.convex_deploy_key.get_secret_value(),
                "CLERK_WEBHOOK_SIGNING_SECRET": self.clerk_webhook_signing_secret.get_secret_value(),
                "CLERK_SECRET_KEY": self.clerk_secret_key.get_secret_value(),
                "CLERK_JWT_ISSUER_DOMAIN": self.clerk_jwt_issuer_domain,
                "CLERK_INSTANCE_ID": self.clerk_instance_id,
                "CLERK_AUTHORIZED_PARTIES": self.clerk_authorized_parties,
                "CLERK_API_URL": self.clerk_api_url,
            }
        )
