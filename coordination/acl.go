package coordination

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
)

// Permission is a set of what somebody may do with a node. The bits are ZooKeeper's.
type Permission uint8

const (
	MayRead   Permission = 1  // read data and list children
	MayWrite  Permission = 2  // write data
	MayCreate Permission = 4  // create children
	MayDelete Permission = 8  // delete children
	MayAdmin  Permission = 16 // change the access list
	MayAll    Permission = 31
)

// Principal is somebody, as some scheme knows them:
//
//	world   anyone
//	digest  USER:base64(SHA-1(USER:PASSWORD))
//	ip      an address; in an access list also ADDRESS/BITS
//	x509    the common name of a client certificate
//	sasl    a name that some other authentication vouches for
//	super   anything: may do everything; not in an access list
//	auth    only in an access list that is set: whoever sets it, all their principals
//	        that prove something, so no ip
type Principal struct{ Scheme, ID string }

// Grant is one line of an access list.
type Grant struct {
	Permissions Permission
	Principal   Principal
}

// ACL is an access list: who may do what. nil lets anybody do anything. It is not
// inherited by children. It has at most MaxGrants grants and MaxACLBytes bytes.
type ACL []Grant

// Bounds of an access list.
const (
	MaxGrants   = 64
	MaxACLBytes = 8192
)

func (a ACL) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(a)))
	for _, g := range a {
		dst = g.Principal.appendTo(append(dst, byte(g.Permissions)))
	}
	return dst
}

// acl reads what ACL.appendTo wrote; it takes more grants than are allowed, so that
// a list that is too long is refused as such.
func (d *decoder) acl() ACL {
	a := ACL{}
	for n := d.upTo(16 * MaxGrants); n > 0 && !d.bad; n-- {
		a = append(a, Grant{Permission(d.upTo(0x7f)), d.principal()})
	}
	return a
}

// settled returns the list as it is kept: "auth" is replaced by the caller's
// principals and repetitions are left out. It returns false if it makes no sense.
func (a ACL) settled(caller *Caller) (ACL, bool) {
	if a == nil {
		return nil, true
	}
	var all ACL
	for _, g := range a {
		if g.Permissions > MayAll || len(all) > MaxGrants {
			return nil, false
		}
		if g.Principal.Scheme != "auth" {
			all = append(all, g)
			continue
		}
		mine := caller.proven(g.Permissions)
		if len(mine) == 0 {
			return nil, false
		}
		all = append(all, mine...)
	}
	unique := all[:0]
	for _, g := range all {
		if !slices.Contains(unique, g) {
			unique = append(unique, g)
		}
	}
	return unique, unique.valid()
}

// proven grants something to all principals that the caller has proven to be.
func (c *Caller) proven(permissions Permission) (all ACL) {
	for _, p := range c.Principals {
		if g := (Grant{permissions, p}); p.Scheme != "ip" && g.valid() {
			all = append(all, g)
		}
	}
	return all
}

// valid reports whether a list may be kept.
func (a ACL) valid() bool {
	if len(a) == 0 || len(a) > MaxGrants {
		return false
	}
	bytes := 0
	for _, g := range a {
		if !g.valid() {
			return false
		}
		bytes += len(g.Principal.Scheme) + len(g.Principal.ID) + 5 // no less than it takes encoded
	}
	return bytes <= MaxACLBytes
}

func (g Grant) valid() bool {
	id := g.Principal.ID
	if g.Permissions > MayAll || len(id) > MaxPrincipalBytes {
		return false
	}
	switch g.Principal.Scheme {
	case "world":
		return id == "anyone"
	case "digest":
		user, digest, ok := strings.Cut(id, ":")
		return ok && user != "" && digest != "" && !strings.Contains(digest, ":")
	case "ip":
		_, ok := addresses(id)
		return ok
	case "x509", "sasl":
		return id != ""
	default:
		return false
	}
}

// addresses reads ADDRESS or ADDRESS/BITS.
func addresses(id string) (netip.Prefix, bool) {
	if strings.Contains(id, "/") {
		p, err := netip.ParsePrefix(id)
		return p, err == nil
	}
	a, err := netip.ParseAddr(id)
	return netip.PrefixFrom(a.WithZone("").Unmap(), a.Unmap().BitLen()), err == nil && a.Zone() == ""
}

// permits reports whether the list lets the caller do something.
func (a ACL) permits(permission Permission, caller *Caller) bool {
	if a == nil {
		return true
	}
	for _, p := range caller.Principals {
		if p.Scheme == "super" {
			return true
		}
	}
	for _, g := range a {
		if g.Permissions&permission == permission && g.Principal.covers(caller) {
			return true
		}
	}
	return false
}

// covers reports whether a principal of an access list is the caller.
func (p Principal) covers(caller *Caller) bool {
	switch p.Scheme {
	case "world":
		return true
	case "ip":
		prefix, _ := addresses(p.ID)
		return slices.ContainsFunc(caller.Principals, func(q Principal) bool {
			a, err := netip.ParseAddr(q.ID)
			return q.Scheme == "ip" && err == nil && prefix.Contains(a.WithZone("").Unmap())
		})
	default:
		return slices.Contains(caller.Principals, p)
	}
}
