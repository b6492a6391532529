package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"sync"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// An etcdraftNetwork carries raft messages: one TCP connection a peer and
// direction, each message as 4 bytes length and its protobuf encoding.
type etcdraftNetwork struct {
	mailbox  *etcdraftMailbox
	listener net.Listener
	peers    map[uint64]*etcdraftPeer
}

// An etcdraftPeer encodes and sends on a goroutine of its own, all that waits
// with one system call.
type etcdraftPeer struct {
	id         uint64
	connection net.Conn
	mutex      sync.Mutex
	queue      []*raftpb.Message
	wake       chan struct{}
}

// connectEtcdraft listens and returns once all peers are connected. A connection
// that breaks stays broken: nobody is restarted here.
func connectEtcdraft(c engineConfig, mailbox *etcdraftMailbox, closed <-chan struct{}) (*etcdraftNetwork, error) {
	n := &etcdraftNetwork{mailbox: mailbox, peers: make(map[uint64]*etcdraftPeer)}
	if err := n.listen(c.Peers[c.ID-1]); err != nil {
		return nil, err
	}
	for i, address := range c.Peers {
		id := uint64(i + 1)
		if i+1 == c.ID {
			continue
		}
		connection, err := dialPatiently(address, bareConnectTime)
		if err != nil {
			return nil, err
		}
		n.peers[id] = &etcdraftPeer{id: id, connection: connection, wake: make(chan struct{}, 1)}
		go n.peers[id].run(mailbox, closed)
	}
	return n, nil
}

func (n *etcdraftNetwork) close() {
	n.listener.Close()
	for _, p := range n.peers {
		p.connection.Close()
	}
}

func (n *etcdraftNetwork) send(messages []*raftpb.Message) {
	for _, m := range messages {
		if p := n.peers[m.GetTo()]; p != nil {
			p.mutex.Lock()
			p.queue = append(p.queue, m)
			p.mutex.Unlock()
			notify(p.wake)
		}
	}
}

func (p *etcdraftPeer) run(mailbox *etcdraftMailbox, closed <-chan struct{}) {
	var messages []*raftpb.Message
	var buffer []byte
	for broken := false; ; {
		select {
		case <-p.wake:
		case <-closed:
			return
		}
		clear(messages)
		p.mutex.Lock()
		messages, p.queue = p.queue, messages[:0]
		p.mutex.Unlock()
		if broken {
			mailbox.putUnreachable(p.id)
			continue
		}
		buffer = buffer[:0]
		for _, m := range messages {
			buffer = appendMessage(buffer, m)
		}
		_, err := p.connection.Write(buffer)
		broken = err != nil
	}
}

func appendMessage(buffer []byte, m *raftpb.Message) []byte {
	begin := len(buffer)
	buffer, err := proto.MarshalOptions{}.MarshalAppend(append(buffer, 0, 0, 0, 0), m)
	if err != nil {
		panic(fmt.Sprintf("etcdraft: encode %v: %v", m.GetType(), err))
	}
	binary.LittleEndian.PutUint32(buffer[begin:], uint32(len(buffer)-begin-4))
	return buffer
}

func (n *etcdraftNetwork) receive(connection net.Conn) {
	defer connection.Close()
	r := bufio.NewReaderSize(connection, 256<<10)
	var header [4]byte
	for {
		if err := readFull(r, header[:]); err != nil {
			return
		}
		encoded := make([]byte, binary.LittleEndian.Uint32(header[:]))
		if err := readFull(r, encoded); err != nil {
			return
		}
		m := new(raftpb.Message)
		if err := proto.Unmarshal(encoded, m); err != nil {
			report("etcdraft: decode", err)
			return
		}
		n.mailbox.putMessage(m)
	}
}

// listen accepts the connections over which the others send.
func (n *etcdraftNetwork) listen(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	n.listener = listener
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go n.receive(connection)
		}
	}()
	return nil
}
