package mesos

func (o PutDocument) carryOut(r *Registry) RegistryResult {
	d := Document(o)
	growth := r.documents.growth(o.Name, d)
	if r.documents.full(o.Name, r.limits.Documents) || !r.fits(growth) ||
		growth > 0 && r.documents.bytes+growth > r.limits.DocumentBytes {
		return RegistryResult{Code: CodeFull}
	}
	return RegistryResult{Changed: r.documents.set(o.Name, d)}
}

func (o RemoveDocument) carryOut(r *Registry) RegistryResult {
	return RegistryResult{Changed: r.documents.remove(o.Name)}
}

func (o PutDocument) valid() bool {
	return CheckName(o.Name) == nil && len(o.Data) <= MaxDocumentBytes
}

func (o RemoveDocument) valid() bool { return CheckName(o.Name) == nil }
