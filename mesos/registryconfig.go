package mesos

import (
	"fmt"
	"strings"
)

// RegistryConfig is how a [Registry] is set up. The zero value takes all defaults.
type RegistryConfig struct {
	// Limits must be the same on all replicas of a group.
	Limits RegistryLimits
}

// RegistryLimits bound what a registry holds. They are part of the replicated state: a
// snapshot brings those it was made under, and those of RegistryConfig count only for a
// registry that starts empty. Each number is at most 2^24.
type RegistryLimits struct {
	// Agents is how many may be admitted. Default 65,536.
	Agents int
	// Unreachable and Gone are how many such agents are remembered, Removed how many
	// removed frameworks. When there are more, the oldest is forgotten. Default 102,400
	// each (P-6).
	Unreachable, Gone, Removed int
	// Frameworks is how many there may be that are not removed. Default 10,000.
	Frameworks int
	// Roles is how many may have a weight, and how many a quota. Default 10,000.
	Roles int
	// Documents is how many there may be, and DocumentBytes what they may take together.
	// Defaults 200,000 and 256 MiB, the latter at most 2^40.
	Documents     int
	DocumentBytes int64
	// Bytes is what all may take together, encoded, before what needs more room is refused.
	// What marks, drains or removes never is. Default 512 MiB, at most 2^40.
	Bytes int64
}

func (c RegistryConfig) withDefaults() RegistryConfig {
	l := &c.Limits
	defaults := RegistryLimits{Agents: 65_536, Unreachable: PruneKeep, Gone: PruneKeep, Removed: PruneKeep,
		Frameworks: 10_000, Roles: 10_000, Documents: 200_000, DocumentBytes: 256 << 20, Bytes: 512 << 20}.values()
	v := l.values()
	for i := range v {
		if v[i] == 0 {
			v[i] = defaults[i]
		}
	}
	c.Limits = registryLimitsOf(v)
	return c
}

const registryLimitCount = 9

var registryLimitNames = [registryLimitCount]string{"Agents", "Unreachable", "Gone", "Removed", "Frameworks", "Roles",
	"Documents", "DocumentBytes", "Bytes"}

func (l RegistryLimits) values() [registryLimitCount]int64 {
	return [...]int64{int64(l.Agents), int64(l.Unreachable), int64(l.Gone), int64(l.Removed), int64(l.Frameworks),
		int64(l.Roles), int64(l.Documents), l.DocumentBytes, l.Bytes}
}

func registryLimitsOf(v [registryLimitCount]int64) RegistryLimits {
	return RegistryLimits{Agents: int(v[0]), Unreachable: int(v[1]), Gone: int(v[2]), Removed: int(v[3]),
		Frameworks: int(v[4]), Roles: int(v[5]), Documents: int(v[6]), DocumentBytes: v[7], Bytes: v[8]}
}

func (l RegistryLimits) check() error {
	for i, v := range l.values() {
		most := int64(maxRegistryRows)
		if strings.HasSuffix(registryLimitNames[i], "Bytes") {
			most = 1 << 40
		}
		if v < 1 || v > most {
			return fmt.Errorf("mesos: RegistryLimits.%s is %d, must be 1 to %d", registryLimitNames[i], v, most)
		}
	}
	return nil
}
