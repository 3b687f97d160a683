// Package poll tells connections what happens to them, for engines that are
// driven by events and give no connection a goroutine of its own.
//
//	var p poll.Poller
//	err := p.Start(&running, nil)
//	err = s.Take(conn)     // a Socket is a connection that package net has let go
//	err = p.Add(&s, on)    // from now on, on.Happened is told
//	n, err := s.Receive(b) // ErrWouldBlock: the next word is an event
//
// What happens to many sockets at once is worth little if each is then read and
// written by a system call of its own: a Batch does that for all of them.
//
// On Linux a Poller is an epoll instance, edge-triggered, in which every socket
// is registered once; its own descriptor waits in Go's poller. Elsewhere it is
// two goroutines for each socket.
package poll
