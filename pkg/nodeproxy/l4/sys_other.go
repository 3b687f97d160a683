//go:build !linux

package l4

import "syscall"

// pipe is never open: only Linux splices.
type pipe struct{}

func (*pipe) isOpen() bool                    { return false }
func (*pipe) open() bool                      { return false }
func (*pipe) close()                          {}
func (*pipe) fill(uintptr) (int, error)       { return 0, syscall.ENOSYS }
func (*pipe) empty(uintptr, int) (int, error) { return 0, syscall.ENOSYS }
