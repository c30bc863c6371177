package pkcs11

import (
	"errors"
	"fmt"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/signet-project/signet/protocol"
)

// meaning is what a return value of a module says to a host and a user.
type meaning struct {
	code protocol.ErrorCode
	// advice follows the name of the return value in the message.
	advice string
	// lost says that sessions and handles are gone, and that a new session may
	// help: the token was pulled, the HSM restarted, another call logged out.
	lost bool
}

// meanings holds the return values that mean more than that something failed
// (PKCS #11 v2.40, section 5.1).
var meanings = map[uint]meaning{
	cryptoki.CKR_PIN_INCORRECT:              {protocol.CodeAccessDenied, "the PIN is wrong; it is not tried again, since a few wrong tries lock the token", false},
	cryptoki.CKR_PIN_INVALID:                {protocol.CodeAccessDenied, "the PIN has characters that the token does not take", false},
	cryptoki.CKR_PIN_LEN_RANGE:              {protocol.CodeAccessDenied, "the PIN is too short or too long for the token", false},
	cryptoki.CKR_PIN_EXPIRED:                {protocol.CodeAccessDenied, "the PIN has expired: set a new one with the token's own tool", false},
	cryptoki.CKR_PIN_LOCKED:                 {protocol.CodeAccessDenied, "the PIN is locked: the security officer has to unlock it", false},
	cryptoki.CKR_USER_PIN_NOT_INITIALIZED:   {protocol.CodeAccessDenied, "the token has no user PIN yet: initialise it with the token's own tool", false},
	cryptoki.CKR_USER_NOT_LOGGED_IN:         {protocol.CodeAccessDenied, "the token wants a login for this key", true},
	cryptoki.CKR_KEY_FUNCTION_NOT_PERMITTED: {protocol.CodeAccessDenied, "the key must not be used to sign (CKA_SIGN)", false},
	cryptoki.CKR_FUNCTION_REJECTED:          {protocol.CodeAccessDenied, "the request was refused at the token", false},
	cryptoki.CKR_FUNCTION_CANCELED:          {protocol.CodeAccessDenied, "the request was cancelled at the token", false},
	cryptoki.CKR_TOKEN_NOT_PRESENT:          {protocol.CodeValidation, "the token is not in its slot", true},
	cryptoki.CKR_TOKEN_NOT_RECOGNIZED:       {protocol.CodeValidation, "the module does not know this kind of token", false},
	cryptoki.CKR_SLOT_ID_INVALID:            {protocol.CodeValidation, "the token's slot is gone", true},
	cryptoki.CKR_MECHANISM_INVALID:          {protocol.CodeValidation, "the token cannot make this kind of signature with the key", false},
	cryptoki.CKR_MECHANISM_PARAM_INVALID:    {protocol.CodeValidation, "the token cannot make RSASSA-PSS signatures with a salt as long as the hash", false},
	cryptoki.CKR_KEY_TYPE_INCONSISTENT:      {protocol.CodeValidation, "the key is of another type than its public key or certificate", false},
	cryptoki.CKR_KEY_SIZE_RANGE:             {protocol.CodeValidation, "the token cannot use keys of this size", false},
	cryptoki.CKR_SESSION_COUNT:              {protocol.CodeThrottled, "all of the token's sessions are in use", false},
	cryptoki.CKR_DEVICE_REMOVED:             {protocol.CodeGeneric, "the token was removed", true},
	cryptoki.CKR_DEVICE_ERROR:               {protocol.CodeGeneric, "the token reports a fault", false},
	cryptoki.CKR_SESSION_CLOSED:             {protocol.CodeGeneric, "the session was closed", true},
	cryptoki.CKR_SESSION_HANDLE_INVALID:     {protocol.CodeGeneric, "the session is gone", true},
	cryptoki.CKR_OBJECT_HANDLE_INVALID:      {protocol.CodeGeneric, "the key is gone", true},
	cryptoki.CKR_KEY_HANDLE_INVALID:         {protocol.CodeGeneric, "the key is gone", true},
	cryptoki.CKR_CANT_LOCK:                  {protocol.CodeGeneric, "the module cannot be used by several threads", false},
}

// returnValue is a module's return value as an error.
type returnValue struct {
	value uint
	// name is like "CKR_PIN_INCORRECT", "" for a vendor's own.
	name string
}

// Error is the name, or the number.
func (v returnValue) Error() string {
	if v.name == "" {
		return fmt.Sprintf("CKR 0x%X", v.value)
	}
	return v.name
}

// failure makes the answer for a return value; what says what failed, with
// which key or token.
func failure(v returnValue, what string) *protocol.Error {
	m, ok := meanings[v.value]
	if !ok {
		return protocol.Errorf(protocol.CodeGeneric, "%s: the module answered %w", what, v)
	}
	return protocol.Errorf(m.code, "%s: %s (%w)", what, m.advice, v)
}

// lost tells whether a new session may help against an error made by failure.
func lost(err error) bool {
	v, ok := errors.AsType[returnValue](err)
	return ok && meanings[v.value].lost
}
