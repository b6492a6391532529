package api

import "time"

// ParseTxn reads a transaction as POST /v1/txn takes it. The error has CodeRequest, and names the
// operation that makes no sense.
func ParseTxn(data []byte) ([]TxnOperation, error) {
	if _, err := decodeTxn(data); err != nil {
		return nil, err
	}
	var t txnJSON
	if err := unmarshalStrictly(data, &t); err != nil {
		return nil, err
	}
	operations := make([]TxnOperation, len(t.Operations))
	for i, j := range t.Operations {
		ttl, _ := time.ParseDuration(j.TTL) // it has been read before, and "" is none
		operations[i] = TxnOperation{Op: j.Op, Path: j.Path, Value: j.bytes(), Version: j.Version, Created: j.Created, Recursive: j.Recursive,
			Mode: j.Mode, TTL: ttl, Sequential: j.Sequential, NeedParent: j.NeedParent, ACL: j.ACL}
	}
	return operations, nil
}
