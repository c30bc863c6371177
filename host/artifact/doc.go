// Package artifact finds artifacts in registries and OCI layouts, and stores
// and reads the signature manifests beside them.
//
// It moves bytes and judges only what carries them: sizes, digests, media types
// and which artifact a signature manifest says it belongs to. What is in an
// envelope, and whether to believe it, is for others to find out.
package artifact
