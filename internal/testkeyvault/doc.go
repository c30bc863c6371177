// Package testkeyvault is as much of Azure as signing has to do with, on
// loopback: vaults and managed HSMs with the requests for keys and certificates,
// and the identity service that gives out the tokens which they check.
//
// Its requests, answers and errors follow the Key Vault REST reference (2025-07-01)
// and the OAuth 2.0 client credentials flow of Microsoft Entra ID. It was written
// because no package registry had an emulator that signs. Clients call it by the
// real names, over a proxy or a client that leads them here, so that nothing of
// what they check has to be switched off for it: certificates of the right names,
// a challenge for the vault's own domain, an authority that is known.
package testkeyvault
