package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
)

// inspectFlags are the flags of inspect.
type inspectFlags struct {
	output        string
	layout        bool
	maxSignatures int
	// policy and scope are for the verdict on the page.
	policy, scope string
}

func (a *app) inspectCommand() *cobra.Command {
	f := &inspectFlags{}
	cmd := &cobra.Command{
		Use:   "inspect [flags] <reference>",
		Short: "Inspect all signatures associated with the signed artifact",
		Long: `Inspect all signatures associated with the signed artifact

Nothing is said about whether they are to be trusted: that is what verify is for.
With --output html, a page shows the chain of custody of the artifact: signatures,
signers, certificate chains, timestamps and when all of this was valid. It needs
nothing from elsewhere. It also has the verdict that verify would come to, by the
trust policy in force or by the one of --policy; that does not change the exit status.`,
		Example: a.examples(
			"Show the signatures of an artifact as a tree", "inspect registry.example.com/app@sha256:<digest>",
			"Show them as JSON", "inspect --output json registry.example.com/app@sha256:<digest>",
			"Write a page for a browser or a printer", "inspect --output html registry.example.com/app@sha256:<digest> > custody.html",
			"Write one with the verdict of a policy that is not in force", "inspect --output html --policy draft.json registry.example.com/app@sha256:<digest> > custody.html",
		),
		Args: a.argument("reference to the artifact", "inspect"),
	}
	registry := a.registryFlags(cmd)
	a.debugFlag(cmd)
	a.outputFlag(cmd, &f.output, "tree", "json", "html")
	cmd.Flags().BoolVar(&f.layout, "oci-layout", false, "inspect signatures stored in OCI image layout")
	maxSignaturesFlag(cmd, &f.maxSignatures)
	cmd.Flags().StringVar(&f.policy, "policy", "", "file with the trust policy whose verdict the page shows (default: the one in force)")
	cmd.Flags().StringVar(&f.scope, "scope", "", "trust policy scope for the verdict on the page (default: the repository; needed with --oci-layout)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.output == "text" { // as notation v1 calls it
			f.output = "tree"
		}
		if err := checkOutput(f.output, "tree", "json", "html"); err != nil {
			return err
		}
		if f.output != "html" && (f.policy != "" || f.scope != "") {
			return errors.New("--policy and --scope are for --output html: verify is what judges by a policy")
		}
		found, err := a.examine(cmd.Context(), "inspect", registry, args[0], f.layout, f.maxSignatures)
		if err != nil {
			return err
		}
		return a.inspect(cmd.Context(), found, f)
	}
	return cmd
}

// inspect fetches and renders signatures, one at a time; those that cannot be shown
// are told and make the command fail once the others are shown (CLI-26).
func (a *app) inspect(ctx context.Context, found *signatures, f *inspectFlags) error {
	var unread []unreadSignature
	shown := a.views(ctx, found, &unread)
	var err error
	switch f.output {
	case "html":
		err = a.custody(ctx, found, shown, &unread, f)
	case "json":
		err = a.inspectJSON(found, shown)
		if found.exceeded && err == nil { // on standard output it would not be JSON any more
			a.warnf("exceeded configured limit of max signatures %d to examine", f.maxSignatures)
		}
	default:
		a.inspectTree(found, shown)
		found.warnLimit(a, f.maxSignatures)
	}
	if err == nil && len(unread) > 0 {
		err = errors.New("at least one signature was skipped and not displayed")
	}
	return err
}

// views fetches signatures as they are asked for. Each may take megabytes: let go of
// one before the next. Those that cannot be shown are warned of and added to unread.
func (a *app) views(ctx context.Context, found *signatures, unread *[]unreadSignature) iter.Seq[*signatureView] {
	return func(yield func(*signatureView) bool) {
		for _, desc := range found.signatures {
			view, problem, err := found.view(ctx, desc)
			if err != nil {
				a.warnf(problem+": %v", desc.Digest, err)
				*unread = append(*unread, unreadSignature{desc.Digest.String(), err.Error()})
				continue
			}
			if !yield(view) {
				return
			}
		}
	}
}

// view fetches and reads one signature. With an error, problem says of what, %s being
// the digest.
func (s *signatures) view(ctx context.Context, desc ocispec.Descriptor) (view *signatureView, problem string, err error) {
	fetched, err := s.repo.FetchSignature(ctx, desc, s.artifact, nil)
	if err != nil {
		return nil, "unable to fetch signature %s due to error", err
	}
	view, err = viewSignature(desc.Digest.String(), fetched.MediaType, fetched.Envelope)
	return view, "Skipping signature %s because of error", err
}

// inspectJSON prints what is shown as [inspectView], in pieces.
func (a *app) inspectJSON(found *signatures, shown iter.Seq[*signatureView]) error {
	head, err := indented(&inspectView{found.artifact.MediaType, []*signatureView{}}, "")
	if err != nil {
		return err
	}
	head, tail, _ := bytes.Cut(head, []byte("[]"))
	out := bufio.NewWriter(a.Stdout)
	out.Write(head)
	separator, end := "[\n    ", "[]"
	for view := range shown {
		data, err := indented(view, "    ")
		if err != nil {
			return err
		}
		out.WriteString(separator)
		out.Write(data)
		separator, end = ",\n    ", "\n  ]"
	}
	out.WriteString(end)
	out.Write(tail)
	out.WriteString("\n")
	return out.Flush()
}

// inspectTree prints what is shown as a tree, in pieces.
func (a *app) inspectTree(found *signatures, shown iter.Seq[*signatureView]) {
	if len(found.signatures) == 0 {
		a.printf("%s has no associated signature\n", found.reference)
		return
	}
	a.printf("Inspecting all signatures for signed artifact\n")
	root := newNode(found.reference)
	root.add(artifact.TypeSignature)
	root.print(a.Stdout)
	const indent = "    " // below the only child
	var last *node        // of which the next signature tells whether it is
	for view := range shown {
		last.printAs(a.Stdout, indent, false)
		last = newNode(view.Digest)
		view.addTo(last)
	}
	last.printAs(a.Stdout, indent, true)
}

// inspectView is the JSON of inspect (CLI-25, spec/schemas/inspect.json).
type inspectView struct {
	MediaType  string           `json:"mediaType"`
	Signatures []*signatureView `json:"signatures"`
}

// signatureView is what inspect shows of a signature (CLI-25); alone it is the
// JSON of blob inspect (spec/schemas/blob-inspect.json).
type signatureView struct {
	Digest                string             `json:"digest,omitempty"`
	SignatureAlgorithm    string             `json:"signatureAlgorithm"`
	SignatureEnvelopeType string             `json:"signatureEnvelopeType"`
	SignedAttributes      map[string]any     `json:"signedAttributes"`
	UserDefinedAttributes map[string]string  `json:"userDefinedAttributes"`
	UnsignedAttributes    map[string]any     `json:"unsignedAttributes"`
	Certificates          []certificateView  `json:"certificates"`
	SignedArtifact        ocispec.Descriptor `json:"signedArtifact"`
	envelope              *envelope.Envelope `json:"-"`
}

type certificateView struct {
	Fingerprint string    `json:"SHA256Fingerprint"`
	IssuedTo    string    `json:"issuedTo"`
	IssuedBy    string    `json:"issuedBy"`
	Expiry      time.Time `json:"expiry"`
}

// viewSignature reads an envelope for display: its structure is checked, its
// trust is not.
func viewSignature(digest, mediaType string, data []byte) (*signatureView, error) {
	env, err := envelope.Parse(mediaType, data)
	if err != nil {
		return nil, err
	}
	target, err := env.Target()
	if err != nil {
		return nil, err
	}
	view := &signatureView{
		Digest:                digest,
		SignatureAlgorithm:    string(env.Algorithm),
		SignatureEnvelopeType: mediaType,
		SignedAttributes: map[string]any{
			"contentType": env.ContentType, "signingScheme": string(env.Scheme), "signingTime": env.SigningTime,
		},
		UserDefinedAttributes: target.Annotations,
		UnsignedAttributes:    map[string]any{},
		Certificates:          viewCertificates(env.Certificates),
		SignedArtifact:        *plainDescriptor(target),
		envelope:              env,
	}
	if !env.Expiry.IsZero() {
		view.SignedAttributes["expiry"] = env.Expiry
	}
	for _, attribute := range extended(env) {
		view.SignedAttributes[attribute[0]] = attribute[1]
	}
	if env.Agent != "" {
		view.UnsignedAttributes["signingAgent"] = env.Agent
	}
	if len(env.Timestamp) > 0 {
		view.UnsignedAttributes["timestampSignature"] = viewTimestamp(env)
	}
	return view, nil
}

// extended lists the extended signed attributes as text.
func extended(env *envelope.Envelope) [][2]string {
	var list [][2]string
	if env.VerificationPlugin != "" {
		list = append(list, [2]string{"io.cncf.notary.verificationPlugin", env.VerificationPlugin})
	}
	if env.VerificationPluginMinVersion != "" {
		list = append(list, [2]string{"io.cncf.notary.verificationPluginMinVersion", env.VerificationPluginMinVersion})
	}
	for _, attribute := range env.Extended {
		list = append(list, [2]string{fmt.Sprint(attribute.Key), fmt.Sprint(attribute.Value)})
	}
	return list
}

func viewCertificates(chain []*x509.Certificate) []certificateView {
	views := make([]certificateView, len(chain))
	for i, cert := range chain {
		views[i] = *viewCertificate(cert)
	}
	return views
}

// displayName is a distinguished name for people.
func displayName(raw []byte) string {
	name, err := pki.FormatName(raw)
	if err != nil {
		return fmt.Sprintf("(unreadable name: %v)", err)
	}
	return name
}

// addTo puts a signature's facts below a node of the tree (CLI-23).
func (v *signatureView) addTo(n *node) {
	env := v.envelope
	n.pair("signature algorithm", v.SignatureAlgorithm)
	n.pair("signature envelope type", v.SignatureEnvelopeType)
	signed := n.add("signed attributes")
	signed.pair("content type", env.ContentType)
	signed.pair("signing scheme", string(env.Scheme))
	signed.pair("signing time", env.SigningTime.Format(time.ANSIC))
	if !env.Expiry.IsZero() {
		signed.pair("expiry", env.Expiry.Format(time.ANSIC))
	}
	for _, attribute := range extended(env) {
		signed.pair(attribute[0], attribute[1])
	}
	user := n.add("user defined attributes")
	for _, key := range slices.Sorted(maps.Keys(v.UserDefinedAttributes)) {
		user.pair(key, v.UserDefinedAttributes[key])
	}
	if len(v.UserDefinedAttributes) == 0 {
		user.add("(empty)")
	}
	unsigned := n.add("unsigned attributes")
	if env.Agent != "" {
		unsigned.pair("signing agent", env.Agent)
	}
	if len(env.Timestamp) > 0 {
		addTimestamp(unsigned.add("timestamp signature"), viewTimestamp(env))
	}
	addCertificates(n, v.Certificates)
	signedArtifact := n.add("signed artifact")
	signedArtifact.pair("media type", v.SignedArtifact.MediaType)
	signedArtifact.pair("digest", v.SignedArtifact.Digest.String())
	signedArtifact.pair("size", strconv.FormatInt(v.SignedArtifact.Size, 10))
}

func addCertificates(n *node, certificates []certificateView) {
	list := n.add("certificates")
	for _, cert := range certificates {
		entry := list.pair("SHA256 fingerprint", cert.Fingerprint)
		entry.pair("issued to", cert.IssuedTo)
		entry.pair("issued by", cert.IssuedBy)
		entry.pair("expiry", cert.Expiry.Format(time.ANSIC))
	}
}
