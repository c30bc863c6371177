// Package scenarios tells stories with the programs: what a security team sees
// when a signer is revoked, a responder is silent, a certificate has expired or
// a policy asks for more than one signature. They are scripts in testdata.
package scenarios
