package poll

import (
	"net"
	"net/netip"
	"os"
	"syscall"
)

// Accepted is a connection that package net does not know and no Poller watches:
// a Connection for one Socket to take over.
type Accepted struct {
	fd   int32
	from netip.Addr
}

// Listen takes a listener over: it goes on under another descriptor, and is
// closed as far as package net is concerned. The Poller tells as Readable that
// there are connections to accept.
func (s *Socket) Listen(l *net.TCPListener) error { return s.take(l) }

// Accept takes the next connection of a Socket that listens. Where there is none
// the error is ErrWouldBlock, and the next word is an event; after any other one
// nothing will be told.
func (s *Socket) Accept() (*Accepted, error) {
	for {
		fd, from, err := syscall.Accept4(int(s.fd), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		switch err {
		case nil:
			return &Accepted{fd: int32(fd), from: address(from)}, nil
		case syscall.EAGAIN:
			return nil, ErrWouldBlock
		case syscall.EINTR, syscall.ECONNABORTED:
			continue
		}
		return nil, err
	}
}

// Yield takes a Socket's connection from it and from its Poller, which tells
// nothing more.
func (s *Socket) Yield() *Accepted {
	if s.poller != nil {
		s.poller.forget(s.fd)
		_ = syscall.EpollCtl(s.poller.fd, syscall.EPOLL_CTL_DEL, int(s.fd), nil)
	}
	return &Accepted{fd: s.fd}
}

func address(a syscall.Sockaddr) netip.Addr {
	switch a := a.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *syscall.SockaddrInet6:
		return netip.AddrFrom16(a.Addr).Unmap()
	}
	return netip.Addr{}
}

// From is the address of who connected: unmapped, without a zone.
func (a *Accepted) From() netip.Addr { return a.from }

// TCP makes the connection one of package net's. Where the peer has broken it off
// already the error is syscall.ENOTCONN: nothing can be read then, not even who it
// was. After an error the connection is closed.
func (a *Accepted) TCP() (*net.TCPConn, error) {
	f := os.NewFile(uintptr(a.fd), "")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	if c.RemoteAddr() == nil {
		_ = c.Close()
		return nil, syscall.ENOTCONN
	}
	return c.(*net.TCPConn), nil
}

// SyscallConn is refused: the descriptor belongs to the Socket that takes it.
func (a *Accepted) SyscallConn() (syscall.RawConn, error) { return nil, syscall.EINVAL }

// Close closes the connection.
func (a *Accepted) Close() error { return syscall.Close(int(a.fd)) }

// CloseRead takes no more.
func (a *Accepted) CloseRead() error { return syscall.Shutdown(int(a.fd), syscall.SHUT_RD) }

// CloseWrite ends the stream that is sent.
func (a *Accepted) CloseWrite() error { return syscall.Shutdown(int(a.fd), syscall.SHUT_WR) }
