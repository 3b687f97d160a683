package testenv

import (
	"io"
	"net"
	"sync"
)

// forwarder stands between clients and a server and passes bytes on as they
// are, so that it can cut the connections of a server that is well.
type forwarder struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

// forward listens on address and passes every connection on to target.
func forward(address, target string) (*forwarder, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	f := &forwarder{listener: listener, target: target, conns: map[net.Conn]struct{}{}}
	f.running.Go(f.accept)
	return f, nil
}

// accept takes connections until the listener is closed, and ends when all of
// them have.
func (f *forwarder) accept() {
	var serving sync.WaitGroup
	defer serving.Wait()
	defer f.drop()
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.hold(client)
		serving.Go(func() { f.serve(client) })
	}
}

// serve passes bytes both ways until either side is done. Kubernetes' API
// needs no half-close: TLS has an end of its own.
func (f *forwarder) serve(client net.Conn) {
	defer f.release(client)
	server, err := net.Dial("tcp", f.target)
	if err != nil {
		return
	}
	defer server.Close()
	var answers sync.WaitGroup
	answers.Go(func() { copyThenClose(client, server) })
	copyThenClose(server, client)
	answers.Wait()
}

// copyThenClose passes bytes from one to the other until there are no more,
// then closes both.
func copyThenClose(to, from net.Conn) {
	// However it ended, the connection is over.
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
}

// hold remembers a client's connection for drop.
func (f *forwarder) hold(client net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[client] = struct{}{}
}

// release closes a client's connection.
func (f *forwarder) release(client net.Conn) {
	client.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, client)
}

// drop cuts the connections that there are.
func (f *forwarder) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for client := range f.conns {
		client.Close()
	}
}

// close ends the listener and every connection, and waits for them. A nil
// forwarder is none.
func (f *forwarder) close() {
	if f == nil {
		return
	}
	f.listener.Close()
	f.running.Wait()
}
