package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/protocol"
)

// expiry is how long the envelopes asked for are good for.
const expiry = 3600 // seconds

// target is what envelopes are asked for.
func target() ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType:   ocispec.MediaTypeImageManifest,
		Digest:      digest.FromString("conformance"),
		Size:        528,
		Annotations: map[string]string{"com.example.conformance": "kept"},
	}
}

func (k *kit) envelopeRequest(key string, format envelope.Format) fields {
	payload, err := envelope.MarshalPayload(envelope.MediaTypeCOSE, target())
	if err != nil {
		panic(err) // the target is sound
	}
	return k.base().with(fields{
		"keyId": key, "payloadType": envelope.MediaTypePayload, "signatureEnvelopeType": format.MediaType(), "payload": payload,
	})
}

// envelopes judges generate-envelope for each key and both envelope types.
func (k *kit) envelopes(ctx context.Context) {
	if !k.can(protocol.CapabilityEnvelopeGenerator, protocol.CapabilityBlobEnvelopeGenerator) {
		k.leave(NotApplicable, "the plugin claims no capability to generate envelopes", "envelope.")
		if !k.can(protocol.CapabilitySignatureGenerator) {
			k.leave(NotApplicable, "the plugin signs nothing", "key.unknown")
		}
		return
	}
	k.unknownKey(ctx, protocol.CommandGenerateEnvelope, k.envelopeRequest("", envelope.FormatJWS))
	for _, key := range k.opts.Keys {
		k.envelopesWith(ctx, key)
	}
	k.leave(NotRun, ReasonNoKey, "envelope.")
}

// envelopesWith judges the envelopes that the plugin makes with one key.
func (k *kit) envelopesWith(ctx context.Context, key string) {
	refused := 0
	formats := []envelope.Format{envelope.FormatJWS, envelope.FormatCOSE}
	for _, format := range formats {
		r := k.ask(ctx, protocol.CommandGenerateEnvelope, k.envelopeRequest(key, format).with(fields{"expiryDurationInSeconds": expiry}))
		switch {
		case r.fault != "":
			k.spoil(key, r, "envelope.")
		case r.refused(protocol.CodeValidation):
			refused++
		case k.expectFor(key, "envelope.answers", r.answer != nil, format.MediaType()+": an answer or VALIDATION_ERROR", r.String()):
			k.judgeEnvelope(key, format, r, expiry*time.Second)
			k.forever(ctx, key, format)
		}
	}
	if refused == len(formats) {
		k.expectFor(key, "envelope.answers", false, "an answer for one envelope type at least", "both are refused")
	}
	k.unknownTypes(ctx, key)
	k.leaveFor(key, NotRun, "no sound envelope came back", "envelope.")
}

// forever asks for an envelope that does not expire.
func (k *kit) forever(ctx context.Context, key string, format envelope.Format) {
	r := k.ask(ctx, protocol.CommandGenerateEnvelope, k.envelopeRequest(key, format))
	switch {
	case r.fault != "":
		k.spoil(key, r, "envelope.expiry")
	case r.answer != nil:
		k.judgeEnvelope(key, format, r, 0)
	}
}

// judgeEnvelope judges one envelope in every respect.
func (k *kit) judgeEnvelope(key string, format envelope.Format, r *reply, expires time.Duration) {
	answer := decode[protocol.GenerateEnvelopeResponse](k, protocol.CommandGenerateEnvelope, r)
	if answer == nil {
		return
	}
	where := format.MediaType() + ": "
	if !k.expectFor(key, "envelope.type", answer.SignatureEnvelopeType == format.MediaType(), fmt.Sprintf("signatureEnvelopeType %q", format.MediaType()), fmt.Sprintf("signatureEnvelopeType %q", answer.SignatureEnvelopeType)) {
		return
	}
	parsed, err := envelope.Parse(format.MediaType(), answer.SignatureEnvelope)
	if !k.expectFor(key, "envelope.form", err == nil, where+"an envelope by the signature specification", fmt.Sprint(err)) {
		return
	}
	k.single = k.single || len(parsed.Certificates) == 1
	err = parsed.VerifySignature()
	k.expectFor(key, "envelope.signature", err == nil, where+"a signature that the leaf's key verifies", fmt.Sprint(err))
	err = pki.CheckChain(parsed.Certificates, pki.CodeSigning)
	k.expectFor(key, "envelope.chain", err == nil, where+"a chain by the rules for signing, to a self-signed root", fmt.Sprint(err))
	k.judgePayload(key, where, parsed)

	lifetime := time.Duration(0)
	if !parsed.Expiry.IsZero() {
		lifetime = parsed.Expiry.Sub(parsed.SigningTime)
	}
	k.expectFor(key, "envelope.expiry", lifetime == expires, fmt.Sprintf("%sa signature that expires %v after signing (0s: never)", where, expires), fmt.Sprint(lifetime))
}

// judgePayload compares what was signed with what was asked for.
func (k *kit) judgePayload(key, where string, parsed *envelope.Envelope) {
	plain := target()
	plain.Annotations = nil
	err := parsed.CheckUnchanged(plain)
	k.expectFor(key, "envelope.payload", err == nil, where+"the descriptor of the request", fmt.Sprint(err))
	got, err := parsed.Target()
	if err != nil {
		return
	}
	for name, value := range target().Annotations {
		k.expectFor(key, "envelope.annotations", got.Annotations[name] == value, fmt.Sprintf("%sannotation %s=%s", where, name, value), fmt.Sprintf("annotations %v", got.Annotations))
	}
}

// unknownTypes asks for what no plugin has.
func (k *kit) unknownTypes(ctx context.Context, key string) {
	for _, c := range []struct{ id, member string }{
		{"envelope.unknown-type", "signatureEnvelopeType"},
		{"envelope.payload-type", "payloadType"},
	} {
		request := k.envelopeRequest(key, envelope.FormatJWS).with(fields{c.member: "application/x-conformance"})
		if r := k.ask(ctx, protocol.CommandGenerateEnvelope, request); r.fault != "" {
			k.spoil(key, r, c.id)
		} else {
			k.expectFor(key, c.id, r.refused(protocol.CodeValidation), sent(protocol.CommandGenerateEnvelope, c.member+" application/x-conformance")+": the error VALIDATION_ERROR", r.String())
		}
	}
}
