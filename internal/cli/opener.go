package cli

import (
	"context"
	"path/filepath"
	"sync"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
)

// opener finds the places that references name. All of them share connections,
// tokens, and what was read of a layout.
type opener struct {
	// layout tells that references name OCI layouts on disk.
	layout  bool
	opts    artifact.OpenOptions
	client  func() (*artifact.Client, error)
	mu      sync.Mutex
	layouts map[string]*artifact.Layout
}

func (a *app) opener(f *registryFlags, layout bool, opts artifact.OpenOptions) *opener {
	return &opener{
		layout: layout, opts: opts, layouts: map[string]*artifact.Layout{},
		client: sync.OnceValues(func() (*artifact.Client, error) { return a.client(f) }),
	}
}

// place finds what a reference names. Nothing is sent yet.
func (o *opener) place(ctx context.Context, reference string) (*host.Place, error) {
	if o.layout {
		return o.inLayout(ctx, reference)
	}
	ref, err := artifact.ParseReference(reference)
	if err != nil {
		return nil, err
	}
	client, err := o.client()
	if err != nil {
		return nil, err
	}
	repository, err := client.Open(ref, o.opts)
	if err != nil {
		return nil, err
	}
	return &host.Place{Repository: repository, Name: ref.Name(), Reference: ref.Reference}, nil
}

func (o *opener) inLayout(ctx context.Context, reference string) (*host.Place, error) {
	ref, err := artifact.ParseLayoutReference(reference)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	layout := o.layouts[ref.Path]
	if layout == nil {
		if layout, err = artifact.OpenLayout(ctx, ref.Path); err != nil {
			return nil, err
		}
		o.layouts[ref.Path] = layout
	}
	return &host.Place{Repository: layout, Name: ref.Path, Reference: ref.Reference}, nil
}

// layoutDirectory is where the paths in references to layouts start; empty for
// references to registries. In another directory the same path is another layout.
func layoutDirectory(layout bool) (string, error) {
	if !layout {
		return "", nil
	}
	return filepath.Abs(".")
}

// isTag tells whether a reference can point to something else tomorrow.
func (o *opener) isTag(reference string) bool {
	if o.layout {
		ref, err := artifact.ParseLayoutReference(reference)
		return err == nil && ref.IsTag()
	}
	ref, err := artifact.ParseReference(reference)
	return err == nil && ref.IsTag()
}
