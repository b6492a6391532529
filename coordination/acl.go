package coordination

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
//	super   anything: may do everything
//	auth    only in an access list that is set: whoever sets it, all their principals
type Principal struct{ Scheme, ID string }

// Grant is one line of an access list.
type Grant struct {
	Permissions Permission
	Principal   Principal
}

// ACL is an access list: who may do what. nil lets anybody do anything. It is not
// inherited by children.
type ACL []Grant
