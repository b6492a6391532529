package main

import (
	"sync"

	"go.etcd.io/raft/v3/raftpb"
)

// An etcdraftMailbox gathers what arrives while run is busy.
type etcdraftMailbox struct {
	mutex sync.Mutex
	mail  etcdraftMail
	spare etcdraftMail
	wake  chan struct{}
}

type etcdraftMail struct {
	messages    []*raftpb.Message
	writes      []*etcdraftCall
	reads       []*etcdraftCall
	unreachable []uint64
}

func (b *etcdraftMailbox) putCall(c *etcdraftCall) {
	b.mutex.Lock()
	if c.data == nil {
		b.mail.reads = append(b.mail.reads, c)
	} else {
		b.mail.writes = append(b.mail.writes, c)
	}
	b.mutex.Unlock()
	notify(b.wake)
}

func (b *etcdraftMailbox) putMessage(m *raftpb.Message) {
	b.mutex.Lock()
	b.mail.messages = append(b.mail.messages, m)
	b.mutex.Unlock()
	notify(b.wake)
}

func (b *etcdraftMailbox) putUnreachable(id uint64) {
	b.mutex.Lock()
	b.mail.unreachable = append(b.mail.unreachable, id)
	b.mutex.Unlock()
	notify(b.wake)
}

// take returns all mail. It is valid until the next call.
func (b *etcdraftMailbox) take() etcdraftMail {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	taken := b.mail
	clear(b.spare.messages)
	b.mail = etcdraftMail{b.spare.messages[:0], b.spare.writes[:0], b.spare.reads[:0], b.spare.unreachable[:0]}
	b.spare = taken
	return taken
}
