"""Any OpenID Connect provider: Keycloak, Okta, Entra, Auth0, ..."""

from social_core.backends.open_id_connect import OpenIdConnectAuth


class CompanyOpenIdConnect(OpenIdConnectAuth):  # type: ignore[type-arg, misc]
    """Authorization code flow with PKCE (S256), state and nonce; identity is `sub`."""

    name = "company"
    USERNAME_KEY = "preferred_username"
    DEFAULT_USE_PKCE = True
    DEFAULT_SCOPE = ["openid", "profile", "email"]
