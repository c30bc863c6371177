// Package protocol is the contract between a Notary Project host and its
// plugins: the commands, the JSON messages they carry, the error codes, and the
// two ends that speak them ([Serve] for plugin authors, [Client] for hosts).
//
// It implements contract version 1.0 of the Notary Project plugin
// specification (plugin-extensibility.md); the members and commands that signet
// adds are marked as extensions and are ignored by peers that do not know them.
// The package imports nothing else of signet and no transport: how a message
// reaches the other side is the business of a [Transport].
package protocol

// ContractVersion is the version of the plugin contract this package speaks,
// sent as contractVersion in every request.
const ContractVersion = "1.0"

// BinaryPrefix starts the file name of every plugin executable; the plugin's
// name follows it ("notation-awskms").
const BinaryPrefix = "notation-"

// MaxMessageSize bounds, in bytes, what a host reads from each of a plugin's
// output streams and what a plugin reads as its request.
const MaxMessageSize = 64 << 20
