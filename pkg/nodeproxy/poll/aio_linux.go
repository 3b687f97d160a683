package poll

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// kernel does many things with one system call: io_submit(2), which works on
// sockets that do not block as if each were read or written in turn. The default
// seccomp profiles of container runtimes let it through, unlike io_uring. Where it
// is not to be had it does nothing.
type kernel struct {
	opened  bool
	context uintptr // 0 for none: the address of its ring of results
	blocks  [mostAtOnce]controlBlock
	list    [mostAtOnce]*controlBlock // of the blocks, as the kernel wants them
	parts   [mostAtOnce][2]syscall.Iovec
}

// mostAtOnce is how much one call does.
const mostAtOnce = 64

// controlBlock is the kernel's struct iocb. What is not named stays zero.
type controlBlock struct {
	data           uint64
	_              [2]uint32 // its key, flags of reading and writing
	opcode         uint16
	_              int16 // a priority
	fd             uint32
	buffer, length uint64
	_              [3]uint64 // an offset, nothing, flags and a descriptor for results
}

// The kernel's IOCB_CMD_.
const (
	aioRead   = 0
	aioWrite  = 1
	aioWriteV = 8
)

// aioEvent is the kernel's struct io_event.
type aioEvent struct {
	data, block uint64
	result      int64
	result2     int64
}

// aioRing is the head of the results, which the kernel has mapped into the
// process (struct aio_ring).
type aioRing struct {
	id, length, head, tail      uint32
	magic, compat, incompat, at uint32
}

const aioMagic = 0xa10a10a1

// Batches tells whether the kernel does what a Batch is asked for with one system
// call; the error says why not.
func Batches() error {
	var k kernel
	defer k.close()
	return k.open()
}

// open makes it ready. What a machine has of this is counted (fs.aio-max-nr), so
// that a Batch takes it only when it is asked for two things at once.
func (k *kernel) open() error {
	k.opened = true
	_, _, errno := syscall.Syscall(syscall.SYS_IO_SETUP, mostAtOnce, uintptr(unsafe.Pointer(&k.context)), 0)
	if errno != 0 {
		k.context = 0
		return errno
	}
	if ring := k.ring(); ring.magic != aioMagic || ring.incompat != 0 {
		k.close()
		return syscall.ENOSYS
	}
	for i := range k.list {
		k.list[i] = &k.blocks[i]
	}
	// A profile may let through the one and not the other.
	if _, _, errno = syscall.RawSyscall(syscall.SYS_IO_SUBMIT, k.context, 0, uintptr(unsafe.Pointer(&k.list[0]))); errno != 0 {
		k.close()
		return errno
	}
	return nil
}

// close gives it back. The kernel takes its time for that.
func (k *kernel) close() {
	if k.context != 0 {
		_, _, _ = syscall.Syscall(syscall.SYS_IO_DESTROY, k.context, 0, 0)
		k.context = 0
	}
}

// ring is memory that the kernel has mapped.
func (k *kernel) ring() *aioRing { return *(**aioRing)(unsafe.Pointer(&k.context)) }

// do does the first of some things, and tells how many.
func (k *kernel) do(asks []ask) int {
	if !k.opened {
		_ = k.open() // without it everything is done one by one
	}
	if k.context == 0 {
		return 0
	}
	asks = asks[:min(len(asks), mostAtOnce)]
	for i := range asks {
		k.prepare(i, &asks[i])
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_IO_SUBMIT, k.context, uintptr(len(asks)), uintptr(unsafe.Pointer(&k.list[0])))
	clear(k.parts[:len(asks)])
	if errno != 0 {
		return 0
	}
	k.reap(asks[:n])
	return int(n)
}

// prepare writes down one thing. Its memory is kept by the asks.
func (k *kernel) prepare(i int, a *ask) {
	block := &k.blocks[i]
	*block = controlBlock{data: uint64(i), opcode: aioRead, fd: uint32(a.socket.fd)}
	one, other := a.a, a.b
	if len(one) == 0 {
		one, other = other, nil
	}
	block.buffer, block.length = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(one)))), uint64(len(one))
	switch {
	case len(other) > 0:
		parts := &k.parts[i]
		parts[0].Base, parts[1].Base = &one[0], &other[0]
		parts[0].SetLen(len(one))
		parts[1].SetLen(len(other))
		block.opcode, block.buffer, block.length = aioWriteV, uint64(uintptr(unsafe.Pointer(parts))), 2
	case a.send:
		block.opcode = aioWrite
	}
}

// reap takes the results. They are all there: nothing on a socket that does not
// block is done later, when the memory may be another's.
func (k *kernel) reap(asks []ask) {
	ring := k.ring()
	if there := atomic.LoadUint32(&ring.tail) + ring.length - ring.head; int(there%ring.length) != len(asks) {
		panic("io_submit has put off what it was given")
	}
	events := unsafe.Slice((*aioEvent)(unsafe.Add(unsafe.Pointer(ring), ring.at)), ring.length)
	head := ring.head
	for range asks {
		e := &events[head]
		if e.result < 0 {
			asks[e.data].did(0, syscall.Errno(-e.result))
		} else {
			asks[e.data].did(int(e.result), 0)
		}
		head = (head + 1) % ring.length
	}
	atomic.StoreUint32(&ring.head, head)
}
