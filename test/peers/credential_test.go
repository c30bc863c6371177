package peers

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// helperBinary is the name of a credential helper (REG-11) that keeps its
// secrets in the file that PEERS_CREDENTIALS names.
const helperBinary = "docker-credential-peers"

// helperMain is the credential helper's main function.
func helperMain(args []string, stdin io.Reader, stdout io.Writer) int {
	path := os.Getenv("PEERS_CREDENTIALS")
	saved := map[string]map[string]string{}
	if data, err := os.ReadFile(path); err == nil {
		if json.Unmarshal(data, &saved) != nil {
			return 2
		}
	}
	input, err := io.ReadAll(stdin)
	if err != nil || len(args) != 1 {
		return 2
	}
	server := strings.TrimSpace(string(input))
	switch args[0] {
	case "get":
		if saved[server] == nil {
			fmt.Fprintln(stdout, "credentials not found in native keychain")
			return 1
		}
		if json.NewEncoder(stdout).Encode(saved[server]) != nil {
			return 2
		}
		return 0
	case "store":
		var entry map[string]string
		if json.Unmarshal(input, &entry) != nil {
			return 2
		}
		saved[entry["ServerURL"]] = entry
	case "erase":
		delete(saved, server)
	default:
		return 2
	}
	data, err := json.Marshal(saved)
	if err != nil || os.MkdirAll(filepath.Dir(path), 0o700) != nil || os.WriteFile(path, data, 0o600) != nil {
		return 2
	}
	return 0
}
