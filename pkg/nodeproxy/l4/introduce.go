package l4

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// proxySignature begins a header of the PROXY protocol, version 2.
const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// introduction is the header of the PROXY protocol, version 2, that tells an
// endpoint who calls and which address was called ("The PROXY protocol",
// section 2.2): a TCP connection over IPv4, or IPv6 where either is one.
func introduction(client, called net.Addr) []byte {
	from, to := addressAndPort(client), addressAndPort(called)
	const version2, proxied = 2 << 4, 1
	const overIPv4, overIPv6 = 0x11, 0x21
	header := append([]byte(proxySignature), version2|proxied)
	if from.Addr().Is4() && to.Addr().Is4() {
		header = append(header, overIPv4, 0, 12)
		header = append(append(header, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
	} else {
		header = append(header, overIPv6, 0, 36)
		one, other := from.Addr().As16(), to.Addr().As16()
		header = append(append(header, one[:]...), other[:]...)
	}
	header = binary.BigEndian.AppendUint16(header, from.Port())
	return binary.BigEndian.AppendUint16(header, to.Port())
}

func addressAndPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap().WithZone(""), tcp.AddrPort().Port())
}
