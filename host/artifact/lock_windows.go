package artifact

// lockFile is the file of a layout that writers lock. It is one of its own,
// since a locked file cannot be read.
const lockFile = "index.json.lock"
