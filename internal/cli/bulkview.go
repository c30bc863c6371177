package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/batch"
)

// resultLine is the JSON of one artifact in a run over many
// (spec/schemas/result-line.json).
type resultLine struct {
	batch.Verdict
	Operation string `json:"operation"`
	// Index is the listed reference that led to the artifact.
	Index      string              `json:"index,omitempty"`
	Time       time.Time           `json:"time"`
	DurationMS float64             `json:"durationMs"`
	Signature  string              `json:"signature,omitempty"`
	Statement  *statementView      `json:"statement,omitempty"`
	Signatures []lineSignatureView `json:"signatures,omitempty"`
	Outcome    *outcomeView        `json:"outcome,omitempty"`
}

// encode makes the line. One that would be too long to be read again goes without its
// signatures, of which there may be many that say much.
func (l resultLine) encode() ([]byte, error) {
	line, err := json.Marshal(l)
	if err == nil && len(line) >= batch.MaxRecord {
		l.Signatures, l.Outcome = nil, nil
		line, err = json.Marshal(l)
	}
	return line, err
}

// lineSignatureView is a signature that was considered, in short.
type lineSignatureView struct {
	Digest  string           `json:"digest"`
	Counted bool             `json:"counted"`
	Error   string           `json:"error,omitempty"`
	Signer  *certificateView `json:"signer,omitempty"`
}

// bulkView is a result as it is shown.
type bulkView struct {
	number int
	line   resultLine
	text   bulkText
}

// bulkText is what is printed about a result when its turn has come.
type bulkText struct {
	stdout   string
	warnings []string
}

// failure is what the summary says of a result that failed.
func (v *bulkView) failure() bulkFailure {
	lines := []string{oneLine(v.line.Reference + ": " + v.line.Error)}
	more := 0
	for _, signature := range v.line.Signatures {
		switch {
		case signature.Error == "":
		case len(lines) <= maxFailureSignatures:
			lines = append(lines, oneLine("  signature "+signature.Digest+": "+signature.Error))
		default:
			more++
		}
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	return bulkFailure{v.number, lines}
}

// maxFailureSignatures bounds the signatures that the summary keeps of an artifact:
// anybody can add some to each of many thousands.
const maxFailureSignatures = 10

// oneLine makes a text that may have several lines, and come from anywhere, one of
// the summary's lines.
func oneLine(text string) string { return printable(strings.ReplaceAll(text, "\n", " ")) }

// newBulkView has what all results have in common.
func newBulkView(result *host.BatchResult) *bulkView {
	view := &bulkView{number: result.Number}
	view.line = resultLine{
		Verdict: batch.Verdict{Reference: result.Reference, Final: result.Final},
		Index:   result.Index, Time: result.Time.UTC(), DurationMS: float64(result.Duration.Microseconds()) / 1000,
	}
	if result.Err != nil {
		view.line.Result, view.line.Error = "failed", result.Err.Error()
	}
	return view
}

// viewSettled shows the result of an earlier run.
func viewSettled(result *host.BatchResult) *bulkView {
	return &bulkView{number: result.Number, line: resultLine{Verdict: *result.Settled, Index: result.Index}}
}

// viewVerified shows the result of a verification.
func (a *app) viewVerified(result *host.BatchResult, verbose bool) *bulkView {
	view, outcome := newBulkView(result), result.Outcome
	if result.Err != nil {
		result.Err = a.verifyError(outcome, result.Err)
		view.line.Error = result.Err.Error()
	}
	if outcome == nil {
		return view
	}
	view.line.Statement = &statementView{outcome.Statement, outcome.Level}
	if outcome.Artifact.Digest != "" {
		view.line.Artifact = plainDescriptor(outcome.Artifact)
	}
	for _, signature := range outcome.Signatures {
		view.line.Signatures = append(view.line.Signatures, viewLineSignature(signature, slices.Contains(outcome.Verified, signature)))
	}
	for _, signature := range outcome.Verified {
		for _, warning := range signature.Warnings() {
			view.text.warnings = append(view.text.warnings, fmt.Sprintf("%s: %s was set to %q and failed with error: %v", outcome.Reference, warning.Check, warning.Action, warning.Err))
		}
	}
	switch {
	case result.Err != nil:
	case outcome.Skipped:
		view.line.Result = "skipped"
		view.text.stdout = fmt.Sprintf("Trust policy is configured to skip signature verification for %s\n", outcome.Reference)
	default:
		view.line.Result = "verified"
		view.text.stdout = fmt.Sprintf("Successfully verified signature for %s\n", outcome.Reference)
	}
	if verbose {
		view.line.Outcome = viewOutcome(outcome, result.Err)
		var tree strings.Builder
		view.line.Outcome.tree().print(&tree)
		view.text.stdout = tree.String() + view.text.stdout
	}
	return view
}

func viewLineSignature(signature *host.SignatureOutcome, counted bool) lineSignatureView {
	view := lineSignatureView{Digest: signature.Digest, Counted: counted}
	if signature.Err != nil {
		view.Error = signature.Err.Error()
	}
	if env := signature.Envelope; env != nil {
		view.Signer = viewCertificate(env.Certificates[0])
	}
	return view
}

// plainDescriptor keeps of a descriptor what identifies content.
func plainDescriptor(desc ocispec.Descriptor) *ocispec.Descriptor {
	return &ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
}
