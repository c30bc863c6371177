package plugin

import (
	"encoding/json"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/signet-project/signet/host/internal/filestate"
	"github.com/signet-project/signet/host/internal/wholefile"
)

// maxMemorySize bounds, in bytes, what is read of a memory file.
const maxMemorySize = 4 << 20

// memory is what a run leaves for the next about a plugin's files: in which state
// which content was read. The content of a file that is still in that state is the
// same, for the reason that a run reads a file once: nobody can set the change time,
// and a file is only remembered when its last change was some time ago. (Root can,
// by the clock or on the raw disk; root can change the pin, too.) A memory is used
// only where nobody else can write the plugin, and proves nothing by itself: the pin
// is what contents are compared with.
type memory struct {
	Files map[string]memoryFile `json:"files"` // by path in the plugin's directory
}

// memoryFile is the state of a file and its content's digest. Times are nanoseconds
// since 1970.
type memoryFile struct {
	Device   uint64      `json:"device"`
	Inode    uint64      `json:"inode"`
	Size     int64       `json:"size"`
	Mode     fs.FileMode `json:"mode"`
	Modified int64       `json:"modified"`
	Changed  int64       `json:"changed"`
	ReadAt   int64       `json:"readAt"`
	SHA256   string      `json:"sha256"`
}

// remember makes the entry for a file; ok is false where the system does not tell
// enough of a file, or its last change was too near.
func remember(seen seenFile) (_ memoryFile, ok bool) {
	device, inode, changed, ok := filestate.Of(seen.info).Identity()
	return memoryFile{
		Device: device, Inode: inode, Size: seen.info.Size(), Mode: seen.info.Mode(),
		Modified: seen.info.ModTime().UnixNano(), Changed: changed.UnixNano(),
		ReadAt: seen.readAt.UnixNano(), SHA256: seen.sha256,
	}, ok && seen.isSettled()
}

// recall returns what was read of a file that looks like info now; ok is false when
// it is not known, looked different, or can be written by others.
func (m *memory) recall(path string, info fs.FileInfo) (_ seenFile, ok bool) {
	then, known := m.Files[path]
	seen := seenFile{info: info, readAt: time.Unix(0, then.ReadAt), sha256: then.SHA256}
	now, ok := remember(seen)
	return seen, known && ok && now == then && checkInfo("", path, info) == nil
}

// memoryPath is the memory file of a plugin; empty when nothing is to be remembered.
func (m *Manager) memoryPath(o *opened, name string) string {
	if m.opts.MemoryDir == "" || m.opts.RequirePins || o.exposed {
		return ""
	}
	return filepath.Join(m.opts.MemoryDir, name+".json")
}

// loadMemory reads a plugin's memory. One that cannot be read, or that others could
// have written, is empty.
func (m *Manager) loadMemory(o *opened, name string) *memory {
	remembered := &memory{}
	path := m.memoryPath(o, name)
	if path == "" || checkOwner(name, m.opts.MemoryDir) != nil || checkOwner(name, path) != nil {
		return remembered
	}
	data, _, err := wholefile.ReadRegular(path, maxMemorySize, false)
	if err != nil || json.Unmarshal(data, remembered) != nil {
		return &memory{}
	}
	return remembered
}

// saveMemory replaces a plugin's memory by what was seen now, unless some of it may
// yet change unseen. A failure costs the next run some time and is only logged.
func (m *Manager) saveMemory(o *opened, name string, t *tree) {
	path := m.memoryPath(o, name)
	if path == "" {
		return
	}
	remembered := memory{Files: map[string]memoryFile{}}
	for file, seen := range t.seen {
		entry, ok := remember(seen)
		if !ok {
			return
		}
		remembered.Files[file] = entry
	}
	if err := replaceMemory(path, &remembered); err != nil {
		m.opts.Logger.Debug("the state of a plugin's files is not remembered", "plugin", name, "error", err)
	}
}

// replaceMemory writes a memory file, in one step for all who read it.
func replaceMemory(path string, remembered *memory) error {
	data, err := json.Marshal(remembered)
	if err != nil {
		return err
	}
	return wholefile.Replace(path, data, wholefile.Replacement{Temp: scratchPrefix + "*"})
}
