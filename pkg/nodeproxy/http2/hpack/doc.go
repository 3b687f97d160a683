// Package hpack reads header blocks (RFC 7541) so that they can be passed on
// without being built again.
//
// A Decoder yields each field with its name and value, with what the proxy must
// know of it, and with its bytes in a form that depends on no dynamic table:
// these can be appended to the block of any other connection. The dynamic table
// keeps that form beside each entry, so that a repeated field costs one copy.
//
//	decoder.Begin(block)
//	for decoder.Next(&field) {
//		out = append(out, field.Wire...)
//	}
//	err := decoder.Err()
//
// Every Huffman string is decoded, even where its coded bytes are passed on: a
// single string that another decoder refuses would cost a connection that many
// clients share.
package hpack
