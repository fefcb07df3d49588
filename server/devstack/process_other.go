//go:build unix && !linux

package devstack

import "syscall"

// Only Linux has a death signal: elsewhere a killed parent leaves its child behind.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
