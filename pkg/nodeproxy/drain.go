package nodeproxy

import "context"

// Drain ends the Proxy. For DrainDelay it still accepts connections, while each
// HTTP/1 answer is the last of its connection and HTTP/2 clients are told to
// go. Then it closes its listeners, and idle HTTP connections, and waits until
// every connection has ended or the context is over, when it resets what is
// left and returns the context's error. Nothing of the Proxy runs after it.
func (p *Proxy) Drain(ctx context.Context) error {
	p.http1.Drain()
	p.http2.Drain()
	delay, cancel := context.WithTimeout(ctx, p.config.DrainDelay)
	<-delay.Done()
	cancel()
	p.closeListeners()
	p.http1.Quiesce()
	p.http2.Quiesce()
	err := p.await(ctx)
	p.end()
	p.running.Wait()
	p.checks.Wait()
	p.doors.stop()
	p.tcp.Close()
	p.http1.Close()
	p.http2.Close()
	return err
}

// closeListeners closes them for good.
func (p *Proxy) closeListeners() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for key, l := range p.listeners {
		l.close()
		delete(p.listeners, key)
	}
	p.problems = nil
	p.schedule(false)
	p.count()
}

// await waits for the end of all connections, or of the context.
func (p *Proxy) await(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.running.Wait()
		p.conns.open.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		p.end()
		p.conns.reset()
		p.http1.Reset()
		p.http2.Reset()
		<-ended
		return ctx.Err()
	}
}
