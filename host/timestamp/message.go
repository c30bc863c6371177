package timestamp

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// request is the TimeStampReq of RFC 3161, version 1, that asks for the
// certificates and leaves the policy to the authority.
type request struct {
	hash   crypto.Hash
	digest []byte
	nonce  *big.Int
}

// newRequest makes the request for a message with a nonce from random, below
// 2^159 so that it fits the 20 bytes that authorities support.
func newRequest(message []byte, hash crypto.Hash, random io.Reader) (*request, error) {
	if _, ok := oidForHash(hash); !ok {
		return nil, fmt.Errorf("digest algorithm %v is not allowed for a timestamp: use SHA-256, SHA-384 or SHA-512", hash)
	}
	if len(message) == 0 {
		return nil, errors.New("there is no signature to timestamp")
	}
	var nonce [20]byte
	if _, err := io.ReadFull(random, nonce[:]); err != nil {
		return nil, fmt.Errorf("no random nonce: %w", err)
	}
	nonce[0] &= 0x7f
	return &request{hash: hash, digest: sum(hash, message), nonce: new(big.Int).SetBytes(nonce[:])}, nil
}

// marshal returns the DER of the request.
func (r *request) marshal() ([]byte, error) {
	oid, _ := oidForHash(r.hash)
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oid)
				b.AddASN1NULL()
			})
			b.AddASN1OctetString(r.digest)
		})
		b.AddASN1BigInt(r.nonce)
		b.AddASN1Boolean(true)
	})
	return b.Bytes()
}

// checkReply checks that a token answers the request (RFC 3161, section 2.4.2).
func (r *request) checkReply(t *Token) error {
	switch {
	case t.Hash != r.hash || !bytes.Equal(t.HashedMessage, r.digest):
		return ErrImprint
	case t.Nonce == nil:
		return errors.New("the timestamp token has no nonce although the request has one")
	case t.Nonce.Cmp(r.nonce) != 0:
		return errors.New("the timestamp token's nonce is not that of the request: it may be an old answer sent again")
	}
	return nil
}

// RejectedError says that an authority declined to make a token (RFC 3161,
// PKIStatusInfo).
type RejectedError struct {
	// Status is the PKIStatus, 2 for rejection.
	Status int
	// Failures names what the authority found wrong, such as "badAlg".
	Failures []string
	// Text is what the authority says about it, cut to a few hundred bytes.
	Text string
}

// statusNames are those of PKIStatus.
var statusNames = map[int]string{
	2: "rejection", 3: "waiting", 4: "revocationWarning", 5: "revocationNotification",
}

// failureNames are those of PKIFailureInfo.
var failureNames = []struct {
	bit  int
	name string
}{
	{0, "badAlg"}, {2, "badRequest"}, {5, "badDataFormat"}, {14, "timeNotAvailable"}, {15, "unacceptedPolicy"},
	{16, "unacceptedExtension"}, {17, "addInfoNotAvailable"}, {25, "systemFailure"},
}

// Error gives the authority's status, failure information and text.
func (e *RejectedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "request not granted, status %d", e.Status)
	if name, ok := statusNames[e.Status]; ok {
		fmt.Fprintf(&b, " (%s)", name)
	}
	if len(e.Failures) > 0 {
		fmt.Fprintf(&b, ", %s", strings.Join(e.Failures, ", "))
	}
	if e.Text != "" {
		fmt.Fprintf(&b, ", %q", e.Text)
	}
	return b.String()
}

var errReply = errors.New("malformed time-stamping answer")

// parseReply reads a TimeStampResp and returns the token in it as received. The
// error is a *RejectedError when the authority did not grant the request.
func parseReply(reply []byte) ([]byte, error) {
	header, body, err := readHeader(reply)
	if err != nil || header.identifier[0] != byte(cbasn1.SEQUENCE) {
		return nil, fmt.Errorf("%w: not a sequence", errReply)
	}
	if header.indefinite {
		var ok bool
		if body, ok = bytes.CutSuffix(body, []byte{0, 0}); !ok {
			return nil, fmt.Errorf("%w: its end is missing", errReply)
		}
	} else if len(body) != header.length {
		return nil, fmt.Errorf("%w: %d bytes follow it", errReply, len(body)-header.length)
	}
	status, rest, err := toDER(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errReply, err)
	}
	if err := checkStatus(status); err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		return nil, fmt.Errorf("%w: granted without a token", errReply)
	}
	return rest, nil
}

// checkStatus reads a PKIStatusInfo: 0 is granted, 1 granted with modifications.
func checkStatus(der []byte) error {
	in := cryptobyte.String(der)
	var info, texts cryptobyte.String
	rejected := &RejectedError{}
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !in.Empty() || !info.ReadASN1Integer(&rejected.Status) ||
		!info.ReadOptionalASN1(&texts, nil, cbasn1.SEQUENCE) {
		return fmt.Errorf("%w: the status does not parse", errReply)
	}
	if rejected.Status == 0 || rejected.Status == 1 {
		return nil
	}
	rejected.Text = joinTexts(texts)
	var failures asn1.BitString
	if info.PeekASN1Tag(cbasn1.BIT_STRING) && info.ReadASN1BitString(&failures) {
		for _, failure := range failureNames {
			if failures.At(failure.bit) != 0 {
				rejected.Failures = append(rejected.Failures, failure.name)
			}
		}
	}
	return rejected
}

// maxText bounds what is quoted of an authority's text.
const maxText = 300

// joinTexts reads a PKIFreeText.
func joinTexts(in cryptobyte.String) string {
	var texts []string
	for size := 0; !in.Empty() && size < maxText; {
		var text cryptobyte.String
		if !in.ReadASN1(&text, cbasn1.UTF8String) {
			break
		}
		texts, size = append(texts, string(text)), size+len(text)
	}
	joined := strings.Join(texts, "; ")
	return strings.ToValidUTF8(joined[:min(len(joined), maxText)], "")
}
