// Package recipes has what people build on a coordination service: locks, elections,
// barriers, and groups whose members are numbered.
//
// Each stands on ephemeral keys of an api.Session, so what its holder has ends with the
// session: at once when it is closed, after its Linger when its process dies, after its
// Timeout when it is cut off or stands still.
//
// # What a lock cannot do
//
// A process can be paused between looking whether it holds a lock and doing what the lock
// protects; when it wakes up, another may hold it. No lock service can prevent that, this one
// neither. Therefore every lock and every leadership comes with a fencing token: a number
// that is higher for each later holder. Whatever is protected must look at it: a store that
// remembers the highest token it has seen and refuses lower ones ([Fence]), or a transaction
// in the tree that checks that the lock's key is still the one created at the token
// ([Held.Check]).
package recipes
