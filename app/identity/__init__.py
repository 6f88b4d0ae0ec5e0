"""Identity: people, how they prove who they are, and what each may see and do.

Tables: users, identities, unlinked_identities, credentials, totp_secrets, recovery_codes, passkeys, challenges,
used_nonces, sessions, refresh_tokens, signing_keys, api_tokens, role_grants, revocations, audit_log, outgoing_mails,
data_exports. What proves who somebody is can be read by the database's role `trove_authenticator`, which the API takes
on for it, and by the worker's, and by no ordinary operation.
May call: core.
"""
