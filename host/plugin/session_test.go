package plugin

import (
	"path/filepath"
	"testing"

	"github.com/signet-project/signet/internal/testplugin"
)

func TestSession(t *testing.T) {
	t.Parallel()
	for name, offered := range map[string]*testplugin.Session{"offered": {}, "not offered": nil} {
		t.Run("PLG-18 "+name, func(t *testing.T) {
			record := filepath.Join(tempDir(t), "calls")
			m := NewManager(tempDir(t), Options{Environ: systemEnviron()})
			testplugin.Install(t, m.dir, "x", testplugin.Script{Record: record, Session: offered})
			client, end, err := m.Session(t.Context(), "x")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, err := client.GetMetadata(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			records := testplugin.Records(t, record)
			if len(records) != 4 || records[0].Session {
				t.Fatalf("%+v", records)
			}
			for _, record := range records[1:] {
				if record.Session != (offered != nil) || (record.Pid == records[1].Pid) != (offered != nil) && record.Pid != records[1].Pid {
					t.Errorf("%+v", record)
				}
			}
		})
	}
}
