// Package dns is the DNS server of local mode: authoritative for the mesh
// domain, over UDP and TCP, and for nothing else.
//
//	server, err := dns.Listen(dns.Config{Address: "127.0.0.1:1053"})
//	…
//	server.Publish(m)        // any number of times
//	err = server.Serve(ctx)  // until ctx ends
//
// orders.shop.mesh is the mesh addresses of Service orders in namespace shop.
// shop.mesh and mesh exist without records of their own: the answer is NODATA,
// not NXDOMAIN (RFC 8020). A name outside the domain is REFUSED. Until the first
// Publish every answer is SERVFAIL, for nothing is known yet.
package dns
