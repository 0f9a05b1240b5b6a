"""May they? Pure authorisation: the account boundary now; key policies, identity policies and grants next."""
