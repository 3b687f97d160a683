// Package smi reads the objects of the Service Mesh Interface into what package
// mesh keeps of them:
//
//	split, err := smi.DecodeTrafficSplit(object)
//
// The types are Weft's own and tolerant: an object of any version is read by
// itself, unknown fields are passed over, and what cannot be read is an error
// that names the field. So one object never blinds anybody to the others.
package smi
