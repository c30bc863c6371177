package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/trust"
)

// verifier makes the Verifier of a run.
func (a *app) verifier() (*host.Verifier, error) {
	checker, err := a.revocationChecker()
	if err != nil {
		return nil, err
	}
	plugins, err := a.plugins()
	if err != nil {
		return nil, err
	}
	return &host.Verifier{
		Policies:   a.policies(),
		Stores:     a.stores(),
		Plugins:    plugins,
		Revocation: checker,
		Logger:     a.log(),
	}, nil
}

// warningRepository calls warn once a reference has been resolved: a policy that
// skips verification never gets there.
type warningRepository struct {
	artifact.Repository
	warn func()
}

// Resolve resolves and warns.
func (r *warningRepository) Resolve(ctx context.Context, reference string) (ocispec.Descriptor, error) {
	desc, err := r.Repository.Resolve(ctx, reference)
	if err == nil {
		r.warn()
	}
	return desc, err
}

// storeHint returns the error of a missing or empty trust store, with what to
// do about it, when that is what made signatures fail (TS-08).
func storeHint(a *app, outcome *host.Outcome) error {
	if outcome == nil {
		return nil
	}
	for _, signature := range outcome.Signatures {
		if store, ok := errors.AsType[*trust.StoreError](signature.Err); ok {
			return fmt.Errorf("%w. Use command '%s cert add' to create and add trusted certificates to the trust store", store, a.name)
		}
	}
	return nil
}

// table prints rows under a heading, columns three spaces apart.
func (a *app) table(heading []string, rows [][]string) {
	writer := tabwriter.NewWriter(a.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(writer, strings.Join(heading, "\t")+"\t")
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
		fmt.Fprintln(writer, strings.Join(row, "\t")+"\t")
	}
	writer.Flush()
}

// pairs lists a map by key.
func pairs(values map[string]string) [][]string {
	var rows [][]string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		rows = append(rows, []string{key, values[key]})
	}
	return rows
}
