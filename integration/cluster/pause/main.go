// Command pause holds namespaces open until it is told to stop: those of a
// pod, as the image that Kubernetes needs for it, and those of a node.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// The first process of a PID namespace inherits orphans. Ignored, their
	// end leaves no zombie.
	signal.Ignore(syscall.SIGCHLD)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
