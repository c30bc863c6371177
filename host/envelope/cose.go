package envelope

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/signet-project/signet/protocol"
)

// COSE header labels (RFC 9052, section 3.1; RFC 9360, section 2).
const (
	labelAlgorithm   = int64(1)
	labelCritical    = int64(2)
	labelContentType = int64(3)
	labelX5Chain     = int64(33)
)

// coseAlgorithms pairs the algorithms with their COSE numbers.
var coseAlgorithms = []struct {
	number    int64
	algorithm protocol.SignatureAlgorithm
}{
	{-37, protocol.AlgorithmPSS256}, {-38, protocol.AlgorithmPSS384}, {-39, protocol.AlgorithmPSS512},
	{-7, protocol.AlgorithmECDSA256}, {-35, protocol.AlgorithmECDSA384}, {-36, protocol.AlgorithmECDSA512},
}

// coseTag is how a COSE_Sign1_Tagged begins: tag 18, an array of four.
var coseTag = []byte{0xd2, 0x84}

func (p *Parser) parseCOSE(data []byte) (*Envelope, error) {
	syntax := func(err error) error { return &SyntaxError{MediaTypeCOSE, err} }
	if !bytes.HasPrefix(data, coseTag) {
		return nil, syntax(errors.New("it is not a COSE_Sign1_Tagged object"))
	}
	if err := strictCBOR.Wellformed(data); err != nil {
		return nil, syntax(err)
	}
	protected, rest := nextItem(data[len(coseTag):])
	unprotected, rest := nextItem(rest)
	payload, rest := nextItem(rest)
	signature, _ := nextItem(rest)

	e := &Envelope{MediaType: MediaTypeCOSE}
	var ok bool
	if e.signedHeader, ok = protected.bytes(); !ok {
		return nil, syntax(errors.New("the protected header is not a byte string"))
	}
	if err := strictCBOR.Wellformed(e.signedHeader); err != nil {
		return nil, syntax(fmt.Errorf("protected header: %w", err))
	}
	if e.Signature, ok = signature.bytes(); !ok {
		return nil, syntax(errors.New("the signature is not a byte string"))
	}
	if e.Payload, ok = payload.bytes(); !ok && !payload.isNull() {
		return nil, syntax(errors.New("the payload is not a byte string"))
	}
	if len(e.Signature) == 0 {
		return nil, invalid("signature missing in COSE envelope")
	}
	if len(e.Payload) == 0 {
		return nil, invalid("content not present")
	}
	e.signedPayload = e.Payload
	protectedChain, err := parseCOSEHeader(e)
	if err != nil {
		return nil, err
	}
	chain, err := parseUnprotected(unprotected, e)
	if err != nil {
		return nil, err
	}
	if chain == nil {
		chain = protectedChain
	} else if protectedChain != nil && !slices.EqualFunc(chain, protectedChain, bytes.Equal) {
		return nil, invalid("the certificate chains in the protected and the unprotected header differ")
	}
	e.Certificates, err = p.certificates(chain)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// parseUnprotected reads the unprotected header into e, passes over unknown
// labels and returns the certificate chain, nil when absent.
func parseUnprotected(item cborItem, e *Envelope) (chain [][]byte, err error) {
	err = item.pairs(func(label any, value cborItem) (err error) {
		switch label {
		case labelX5Chain:
			chain, err = chainOf(value)
		case attrTimestamp:
			token, ok := value.bytes()
			if !ok {
				return fmt.Errorf("%s is not a byte string", attrTimestamp)
			}
			if len(token) > 0 {
				e.Timestamp = token
			}
		case attrAgent:
			e.Agent, _ = value.text()
		}
		return err
	})
	return chain, syntaxUnlessInvalid(err)
}

// syntaxUnlessInvalid makes an error of walking over a header one for callers.
func syntaxUnlessInvalid(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*InvalidError](err); ok {
		return err
	}
	return &SyntaxError{MediaTypeCOSE, err}
}

// chainOf reads an x5chain: an array of byte strings, even for one certificate.
func chainOf(item cborItem) ([][]byte, error) {
	if item.major != majorArray || item.arg == 0 {
		return nil, invalid("certificate chain is not present")
	}
	chain := make([][]byte, 0, min(item.arg, 8))
	err := item.elements(func(element cborItem) error {
		der, ok := element.bytes()
		if !ok {
			return invalid("certificate chain is not an array of byte strings")
		}
		chain = append(chain, der)
		return nil
	})
	return chain, err
}

// parseCOSEHeader reads the protected header into e and returns the certificate
// chain if it is there, nil otherwise.
func parseCOSEHeader(e *Envelope) ([][]byte, error) {
	h := header{format: FormatCOSE}
	contentTypeSeen := false
	var algorithm cborItem
	item, _ := nextItem(e.signedHeader)
	err := item.pairs(func(label any, value cborItem) (err error) {
		switch label {
		case labelAlgorithm:
			algorithm = value
		case labelCritical:
			err = criticalLabels(&h, value)
		case labelContentType:
			contentTypeSeen = true
			if h.contentType, err = textOf(value); err != nil {
				err = invalid("content type should be of 'tstr' type")
			}
		case labelX5Chain:
			h.chain, err = chainOf(value)
		case attrScheme:
			if h.scheme, err = textOf(value); err != nil {
				err = invalid("invalid signingScheme")
			}
		case attrSigningTime, attrAuthenticTime:
			err = h.setTime(label, value, "signingTime")
		case attrExpiry:
			err = h.setTime(label, value, "expiry")
		default:
			if name, ok := label.(string); ok {
				err = checkVariant(name, variants...)
			}
			h.extended = append(h.extended, Attribute{Key: label, Value: value.value()})
		}
		return err
	})
	if err != nil {
		return nil, syntaxUnlessInvalid(err)
	}
	if !contentTypeSeen {
		return nil, invalid("missing content type")
	}
	if h.algorithm, err = coseAlgorithm(algorithm); err != nil {
		return nil, err
	}
	return h.chain, h.fill(e)
}

func textOf(item cborItem) (string, error) {
	text, ok := item.text()
	if !ok {
		return "", errors.New("not a text string")
	}
	return text, nil
}

// setTime reads one of the times; what names it in messages.
func (h *header) setTime(label any, value cborItem, what string) error {
	t, err := value.time()
	if err != nil {
		return invalid("invalid %s: %v", what, err)
	}
	switch label {
	case attrSigningTime:
		h.signingTime = t
	case attrAuthenticTime:
		h.authenticTime = t
	case attrExpiry:
		h.expiry = t
	}
	return nil
}

func criticalLabels(h *header, item cborItem) error {
	if item.major != majorArray {
		return invalid("invalid crit header: it is not an array")
	}
	if item.arg > maxAttributes {
		return invalid("invalid crit header: it has more than %d labels", maxAttributes)
	}
	h.criticalPresent = true
	return item.elements(func(element cborItem) error {
		label, err := element.label()
		if err != nil {
			return invalid("invalid crit header: %v", err)
		}
		h.critical = append(h.critical, label)
		return nil
	})
}

func coseAlgorithm(item cborItem) (protocol.SignatureAlgorithm, error) {
	number, ok := item.integer()
	if item.raw == nil || !ok {
		return "", invalid("signature algorithm not supported: it must be an integer")
	}
	for _, a := range coseAlgorithms {
		if a.number == number {
			return a.algorithm, nil
		}
	}
	return "", invalid("signature algorithm not supported: %d", number)
}

// coseSigningInput is the Sig_structure that a COSE signature covers (RFC 9052,
// section 4.4).
func coseSigningInput(protected, payload []byte) []byte {
	out := make([]byte, 0, 32+len(protected)+len(payload))
	out = append(out, "\x84\x6aSignature1"...)
	out = appendBytes(out, protected)
	out = append(out, 0x40) // no external data
	return appendBytes(out, payload)
}
