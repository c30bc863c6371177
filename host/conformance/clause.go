package conformance

// Level is how much a clause binds (RFC 2119).
type Level string

// The levels. A plugin conforms when it breaks no clause of level Must.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
)

// Clause is one demand of the contract.
type Clause struct {
	// ID names the clause in reports, "metadata.name".
	ID    string
	Level Level
	// Section is where the demand stands, relative to the folder spec:
	// "plugin-protocol.md#a-call".
	Section string
	// Rows are the requirement rows it is about; may be empty.
	Rows []string
	// Text is the demand: what a plugin does or has.
	Text string
}

// The sections that clauses refer to.
const (
	inPlugin    = "plugin-protocol.md#a-plugin"
	inCall      = "plugin-protocol.md#a-call"
	inLifeCycle = "plugin-protocol.md#life-cycle"
	inVersions  = "plugin-protocol.md#versions"
	inErrors    = "plugin-protocol.md#errors"
	inMetadata  = "plugin-protocol.md#get-plugin-metadata"
	inDescribe  = "plugin-protocol.md#describe-key"
	inSign      = "plugin-protocol.md#generate-signature"
	inEnvelope  = "plugin-protocol.md#generate-envelope"
	inVerify    = "plugin-protocol.md#verify-signature"
	inAlgorithm = "plugin-protocol.md#algorithms"
	inSecurity  = "plugin-protocol.md#security-considerations"
	inTransport = "extensions.md#transports"
	inPublicKey = "extensions.md#publickeyv1"
)

func rows(ids ...string) []string { return ids }

var clauses = []Clause{
	{"file.name", Must, inPlugin, rows("PLG-01"), "the file is called notation-{name}, with .exe behind it on Windows"},
	{"file.executable", Must, inPlugin, rows("PLG-03"), "it is a regular file, not a link, that its user may execute, and the system starts it"},

	{"metadata.answers", Must, inMetadata, rows("PLG-06", "PLG-15"), "get-plugin-metadata is answered"},
	{"metadata.members", Must, inMetadata, rows("PLG-15"), "every required member is there, of the right type and not empty"},
	{"metadata.name", Must, inMetadata, rows("PLG-16"), "name is the executable's without notation-"},
	{"metadata.version", Must, inMetadata, rows("PLG-41"), "version is a semantic version without a leading v"},
	{"metadata.contract", Must, inVersions, rows("PLG-17"), "supportedContractVersions has one entry for each major version, and one that a host of 1.0 accepts"},
	{"metadata.capabilities", Must, inMetadata, rows("PLG-19"), "capabilities has at least one of the contract, and none twice"},
	{"metadata.stable", Must, inMetadata, rows("PLG-76"), "the answer is the same each time"},
	{"metadata.empty-request", Must, inMetadata, rows("PLG-76"), "the request {} gets the same answer"},
	{"metadata.any-version", Should, inVersions, rows("PLG-17"), "a request of another major version gets the same answer"},
	{"metadata.configuration", Must, inMetadata, rows("PLG-76"), "the answer does not depend on pluginConfig"},
	{"metadata.environment", Must, inMetadata, rows("PLG-76"), "the answer does not depend on the environment (PATH is left, for interpreters)"},
	{"metadata.network", Must, inMetadata, rows("PLG-76"), "no network is used (seen when the plugin heeds HTTPS_PROXY)"},

	{"call.status", Must, inCall, rows("PLG-05", "PLG-10"), "the exit status is 0 with an answer and 1 with an error, never another, and no signal ends the process but one from the host"},
	{"call.stdout", Must, inCall, rows("PLG-05"), "stdout has exactly one JSON object, in UTF-8, no member twice"},
	{"call.silent-failure", Should, inCall, rows("PLG-05"), "a failure leaves stdout empty"},
	{"call.size", Must, inCall, rows("PLG-07"), "neither stream gets more than 64 MiB"},
	{"call.time", Must, inLifeCycle, nil, "each call ends before the deadline"},
	{"call.parallel", Must, inCall, nil, "calls at the same time are answered as calls alone are"},
	{"call.secrets", Should, inSecurity, nil, "no secret from the environment or pluginConfig is written to stdout or stderr"},
	{"process.left", Should, inLifeCycle, nil, "no process is left running when a call has ended"},
	{"process.terminate", Should, inLifeCycle, nil, "SIGTERM ends the plugin at once, also while it waits for its request"},

	{"error.json", Must, inErrors, rows("PLG-11"), "exit status 1 comes with an error as JSON on stderr, which begins a line there"},
	{"error.alone", Should, inErrors, rows("PLG-11"), "the error stands alone on stderr"},
	{"error.code", Must, inErrors, rows("PLG-12"), "errorCode is one of the contract's"},
	{"error.message", Should, inErrors, rows("PLG-11"), "errorMessage says something"},

	{"command.unknown", Must, inCall, rows("PLG-06"), "an unknown command is a failure"},
	{"command.error", Should, inCall, rows("PLG-12"), "the error of an unknown command is VALIDATION_ERROR"},
	{"request.unknown-members", Must, inCall, rows("PLG-33"), "members that the plugin does not know change nothing"},
	{"request.empty", Must, inErrors, rows("PLG-12"), "no request at all is a VALIDATION_ERROR"},
	{"request.malformed", Must, inErrors, rows("PLG-12"), "a request that is not JSON is a VALIDATION_ERROR"},
	{"request.object", Must, inErrors, rows("PLG-12"), "a request that is JSON but no object is a VALIDATION_ERROR"},
	{"request.one", Should, inErrors, rows("PLG-12"), "text behind the request is a VALIDATION_ERROR"},
	{"request.members", Must, inErrors, rows("PLG-12"), "a required member that is absent or empty is a VALIDATION_ERROR"},
	{"request.types", Must, inErrors, rows("PLG-12"), "a member of the wrong type is a VALIDATION_ERROR"},
	{"request.null", Should, inCall, nil, "an optional member that is null is as one that is absent"},
	{"request.base64", Must, inErrors, rows("PLG-12"), "a payload that is not base64 is a VALIDATION_ERROR"},
	{"request.huge", Must, inErrors, rows("PLG-12"), "a malformed request of 16 MiB is a VALIDATION_ERROR"},
	{"request.nesting", Must, inErrors, nil, "a deeply nested request is answered or refused, without a crash"},

	{"versions.major", Must, inVersions, rows("PLG-17"), "a contract version of an unknown major version is an UNSUPPORTED_CONTRACT_VERSION"},
	{"versions.first", Should, inVersions, rows("PLG-17"), "the version is judged before the command and the other members"},
	{"versions.minor", Should, inVersions, rows("PLG-17"), "a higher minor version is accepted"},
	{"versions.absent", Must, inVersions, rows("PLG-08"), "a request without contractVersion is a VALIDATION_ERROR"},
	{"versions.form", Should, inVersions, rows("PLG-12"), "a contractVersion that is not of the form major.minor is a VALIDATION_ERROR"},

	{"describe.answers", Must, inDescribe, rows("PLG-22"), "describe-key is answered for the key given"},
	{"describe.key-id", Must, inDescribe, rows("PLG-22"), "keyId is the request's"},
	{"describe.key-spec", Must, inDescribe, rows("PLG-22"), "keySpec is one of the contract's"},
	{"key.unknown", Must, inErrors, rows("PLG-12"), "a key id that does not exist is a VALIDATION_ERROR"},
	{"answer.members", Must, inCall, rows("PLG-05"), "the members of answers have the types and forms of the contract"},

	{"sign.answers", Must, inSign, rows("PLG-25"), "generate-signature is answered for the key given"},
	{"sign.key-id", Must, inSign, rows("PLG-25"), "keyId is the request's"},
	{"sign.algorithm", Must, inAlgorithm, rows("PLG-26"), "signingAlgorithm is the one that goes with keySpec"},
	{"sign.form", Must, inAlgorithm, rows("PLG-25"), "the signature has its algorithm's length: r‖s for ECDSA, not ASN.1"},
	{"sign.salt", Must, inAlgorithm, rows("PLG-26"), "RSASSA-PSS has a salt as long as the hash"},
	{"sign.verifies", Must, inSign, rows("PLG-26"), "the leaf's public key verifies the signature over payload"},
	{"sign.payloads", Must, inSign, rows("PLG-24"), "payloads of one byte and of a megabyte are signed, too"},
	{"sign.leaf", Must, inSign, rows("PLG-26"), "the first certificate's public key has keySpec"},
	{"sign.chain", Must, inSign, rows("PLG-25"), "the chain is complete: each certificate issued by the next, a self-signed root last"},
	{"sign.certificates", Must, inSign, rows("PLG-26"), "the certificates follow the rules of the signature specification"},
	{"sign.validity", Should, inSign, nil, "the certificates are valid now"},
	{"sign.key-spec", Should, inSign, rows("PLG-24"), "a keySpec that is not the key's is a VALIDATION_ERROR"},
	{"sign.hash", Should, inAlgorithm, rows("PLG-24"), "a hashAlgorithm that does not go with keySpec is a VALIDATION_ERROR"},

	{"envelope.answers", Must, inEnvelope, rows("PLG-28"), "generate-envelope is answered for one envelope type at least, and the other is a VALIDATION_ERROR"},
	{"envelope.type", Must, inEnvelope, rows("PLG-28"), "signatureEnvelopeType is the request's"},
	{"envelope.form", Must, inEnvelope, rows("PLG-29"), "the envelope is one of that type"},
	{"envelope.signature", Must, inEnvelope, rows("PLG-29"), "the envelope's signature verifies with its leaf's key"},
	{"envelope.chain", Must, inEnvelope, rows("PLG-29"), "the envelope's certificates are a chain by the rules of the specification"},
	{"envelope.payload", Must, inEnvelope, rows("PLG-29", "PLG-30"), "the payload has the request's mediaType, digest and size, and no member a descriptor does not have"},
	{"envelope.annotations", Must, inEnvelope, rows("PLG-29"), "the payload has all annotations of the request"},
	{"envelope.expiry", Must, inEnvelope, rows("PLG-27"), "the signature expires as long after signing as the request says, and never without"},
	{"envelope.unknown-type", Must, inErrors, rows("PLG-12"), "an unknown signatureEnvelopeType is a VALIDATION_ERROR"},
	{"envelope.payload-type", Must, inErrors, rows("PLG-12"), "an unknown payloadType is a VALIDATION_ERROR"},

	{"verify.answers", Must, inVerify, rows("PLG-48"), "verify-signature is answered"},
	{"verify.results", Must, inVerify, rows("PLG-49"), "each check asked for has a result, and no other"},
	{"verify.reason", Must, inVerify, rows("PLG-50"), "a negative result has a reason"},
	{"verify.processed", Must, inVerify, rows("PLG-51"), "processedAttributes names only attributes of the request"},

	{"session.opens", Must, inTransport, nil, "started with the argument session, the plugin opens a session and answers in it"},
	{"session.answers", Must, inTransport, nil, "a session answers as a process of its own does"},
	{"session.parallel", Must, inTransport, nil, "calls at the same time are answered as calls alone are"},
	{"session.ends", Must, inTransport, nil, "the process ends when its stdin does"},

	{"public-key.describe", Must, inPublicKey, nil, "describe-key answers the public key, which has keySpec and is the leaf's"},
	{"public-key.csr", Must, inPublicKey, nil, "a signature with purpose csr verifies with the public key"},
}
