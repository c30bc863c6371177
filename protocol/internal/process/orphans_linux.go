package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// orphans makes this process the subreaper as long as calls are running: what a
// plugin started and left behind becomes our child then, not init's.
var orphans struct {
	sync.Mutex
	calls  int
	before int // the setting found at the first call
}

func adoptOrphans() {
	orphans.Lock()
	defer orphans.Unlock()
	if orphans.calls++; orphans.calls == 1 {
		orphans.before = subreaper()
		unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
}

// disownOrphans undoes one adoptOrphans. The last of the calls that run at a time kills
// what is branded and has no mark, which may come from any of them; it tells whether any
// of that was still running. No call starts meanwhile.
func disownOrphans() (left bool) {
	orphans.Lock()
	defer orphans.Unlock()
	if orphans.calls--; orphans.calls > 0 {
		return false
	}
	if !bornBranded() && childrenLeft() {
		found := orphansThat(unmarked)
		left = anyRuns(found)
		sweep(found, unmarked)
	}
	unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, uintptr(orphans.before), 0, 0, 0)
	return left
}

// A mark tells a call's descendants from other calls' and from children that the
// rest of the program has. They inherit it: a hard limit on RLIMIT_LOCKS, which
// the kernel has not enforced since 2.4 but still hands down to children, shows
// to everyone in /proc, and lets nobody without privilege raise again. A cleared
// environment, closed descriptors, setsid and double forks do not shed it.
//
// Marks are counted down from the limit we have ourselves, in wide steps. When a
// plugin is itself a host, it finds a limit set and counts down in steps of one,
// so that its marks still tell whose descendants its own plugins are.
type mark struct{ value, width uint64 }

var lastMark struct {
	sync.Mutex
	mark
}

// covers tells whether value is this mark or one counted down from it.
func (m mark) covers(value uint64) bool {
	return value != 0 && value <= m.value && m.value-value < m.width
}

// setMark gives a process that has just been started a mark of its own; the zero one,
// which covers nothing, when the system does not let us.
func setMark(pid int) mark {
	m := nextMark()
	limit := unix.Rlimit{Cur: m.value, Max: m.value}
	if m.value == 0 || unix.Prlimit(pid, unix.RLIMIT_LOCKS, &limit, nil) != nil {
		return mark{}
	}
	return m
}

// A brand is what tells a descendant that was started before its parent had its mark:
// whoever is quick has microseconds for that, and more on a busy machine. It is with a
// process before its first instruction, since it is inherited from the thread that
// forks: that of threads which chose what happens when their memory is found to be
// broken. Ours choose what is the system's choice anyway: to be told late. Children that
// other threads start have no brand, nor do those that want to be told early themselves,
// as emulators of machines do.
const (
	brandFlag = 0x80       // PF_MCE_PROCESS of the kernel's sched.h
	earlyFlag = 0x08000000 // PF_MCE_EARLY
)

// brand brands what this thread starts until unbrand is called. It does nothing where
// everything of ours has a brand, as that of a host that is itself a plugin, or where the
// system does not let us. (What a plugin's plugins leave before they have a mark is found
// when that plugin has ended.)
func brand() (unbrand func()) {
	if bornBranded() || unix.Prctl(unix.PR_MCE_KILL, unix.PR_MCE_KILL_SET, unix.PR_MCE_KILL_LATE, 0, 0) != nil {
		return func() {}
	}
	return func() { unix.Prctl(unix.PR_MCE_KILL, unix.PR_MCE_KILL_CLEAR, 0, 0, 0) }
}

// bornBranded tells whether we had a brand before we gave any. It is first asked on a
// thread that gives none at that moment.
var bornBranded = sync.OnceValue(func() bool {
	policy, err := unix.PrctlRetInt(unix.PR_MCE_KILL_GET, 0, 0, 0, 0)
	return err == nil && policy == unix.PR_MCE_KILL_LATE
})

// isBranded tells whether a process, by its first thread, has a brand.
func isBranded(pid int) bool {
	flags, err := strconv.ParseUint(stat(pid).flags, 10, 64)
	return err == nil && flags&(brandFlag|earlyFlag) == brandFlag
}

// unmarked tells whether a child of ours was started by a plugin, or what a plugin
// started, before that had its mark.
func unmarked(pid int) bool { return isBranded(pid) && markOf(pid) == markOf(os.Getpid()) }

func nextMark() mark {
	const highest, width = 1 << 62, 1 << 20
	lastMark.Lock()
	defer lastMark.Unlock()
	if lastMark.width == 0 {
		var own unix.Rlimit
		if unix.Prlimit(0, unix.RLIMIT_LOCKS, nil, &own) != nil {
			return mark{}
		}
		lastMark.mark = mark{own.Max, 1}
		if own.Max > highest {
			lastMark.mark = mark{highest, width}
		}
	}
	if lastMark.value <= lastMark.width {
		return mark{} // used up
	}
	lastMark.value -= lastMark.width
	return lastMark.mark
}

// markOf reads the mark of a process; 0 when there is none or it is gone.
func markOf(pid int) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return 0
	}
	_, line, _ := strings.Cut(string(text), "Max file locks")
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return 0
	}
	mark, _ := strconv.ParseUint(fields[1], 10, 64)
	return mark
}

// children lists the children of a process, zombies included.
func children(pid int) []int {
	if !listsChildren() {
		return childrenByParent(pid)
	}
	return confirmed(func() []int { return readChildren(pid) })
}

// confirmed reads a list of children until nothing is missing in it: the kernel, which
// finds its place by the last one read, passes over some when that is gone by then. So a
// reading is whole if all of it is still there at the next.
func confirmed(read func() []int) []int {
	const attempts = 20 // where children come and go all the time, they may all fail
	pids := read()
	for range attempts {
		again := read()
		there := make(map[int]bool, len(again))
		for _, pid := range again {
			there[pid] = true
		}
		if !slices.ContainsFunc(pids, func(pid int) bool { return !there[pid] }) {
			return pids
		}
		pids = again
	}
	return pids
}

// readChildren reads the kernel's lists, one for each thread.
func readChildren(pid int) []int {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	var pids []int
	for _, task := range names(tasks) {
		text, _ := os.ReadFile(filepath.Join(tasks, task, "children"))
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

var listsChildren = sync.OnceValue(func() bool {
	_, err := os.Lstat("/proc/thread-self/children")
	return err == nil
})

// childrenByParent does the same on kernels without /proc/…/children, by
// looking at every process.
func childrenByParent(parent int) []int {
	var pids []int
	for _, name := range names("/proc") {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if stat(pid).ppid == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// names lists a directory; what cannot be read is empty. (filepath.Glob would read
// the directory of each process as well, a thousand entries that nobody wants.)
func names(dir string) []string {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	found, _ := d.Readdirnames(-1)
	return found
}

// isZombie tells whether a process has ended and waits for its parent to notice.
func isZombie(pid int) bool { return stat(pid).state == "Z" }

// status is what the kernel tells of a process; all fields are empty when it is gone.
type status struct{ state, ppid, flags string }

// stat reads the status of a process. It is done for every process there is, so it makes
// do with three system calls.
func stat(pid int) status {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return status{}
	}
	defer unix.Close(fd)
	var text [256]byte // more than what is up to the flags takes
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return status{}
	}
	// pid (name) state ppid pgrp session tty_nr tpgid flags …, where name may hold anything
	end := bytes.LastIndexByte(text[:n], ')')
	fields := strings.Fields(string(text[end+1 : n]))
	if len(fields) < 7 {
		return status{}
	}
	return status{state: fields[0], ppid: fields[1], flags: fields[6]}
}

// subreaper reads the setting of this process.
func subreaper() int {
	var set int32
	unix.Syscall6(unix.SYS_PRCTL, unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&set)), 0, 0, 0, 0)
	return int(set)
}
