// Package artifact reaches OCI artifacts and the signatures beside them, in
// registries and in OCI layouts: references, signature manifests, credentials.
package artifact
