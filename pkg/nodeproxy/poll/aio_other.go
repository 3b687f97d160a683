//go:build !linux

package poll

import "errors"

// Batches tells that each thing is a system call of its own.
func Batches() error { return errors.ErrUnsupported }

// kernel does one thing with each system call.
type kernel struct{}

func (*kernel) do([]ask) int { return 0 }
