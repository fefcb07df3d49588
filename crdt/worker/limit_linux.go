package worker

import (
	"fmt"
	"os"
	"syscall"
)

// addressSpace is the size of this process now, in bytes; 0 if it cannot be read.
func addressSpace() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var pages uint64
	if _, err := fmt.Sscan(string(b), &pages); err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

// confine keeps this process from growing beyond start + memory, from dumping core (a dump would hold the board's content) and from
// writing files.
func confine(start, memory uint64) error {
	for _, r := range []int{syscall.RLIMIT_CORE, syscall.RLIMIT_FSIZE} {
		if err := syscall.Setrlimit(r, &syscall.Rlimit{}); err != nil {
			return err
		}
	}
	if memory == 0 || raceEnabled { // the race detector's shadow memory does not fit under any limit
		return nil
	}
	if start == 0 {
		return fmt.Errorf("the size of this process is unknown")
	}
	return syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: start + memory, Max: start + memory})
}
