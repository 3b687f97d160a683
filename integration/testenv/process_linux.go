package testenv

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the kernel kill the program when the test's process
// dies, even by a signal or a timeout.
func endWithParent(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
