package transport

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"
)

// TestMain fails the run when goroutines are left behind: every session, channel and timer must end with its test.
func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	end := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > 2 && time.Now().Before(end) {
		time.Sleep(20 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > 2 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d goroutines left behind\n", n)
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		code = 1
	}
	os.Exit(code)
}
