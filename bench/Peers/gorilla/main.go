// gorilla PORT PING_MS TIMEOUT_MS: an echo server on /ws in the manner of gorilla/websocket's chat example. readPump owns the
// reads and the pong deadline, writePump owns the writes and the ping ticker.
package main

import (
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

const (
	writeWait      = 10 * time.Second
	maxMessageSize = 1 << 20
)

type message struct {
	kind int
	data []byte
}

type client struct {
	conn       *websocket.Conn
	send       chan message
	pingPeriod time.Duration
	pongWait   time.Duration
}

func (c *client) readPump() {
	defer func() {
		close(c.send)
		c.conn.Close()
	}()
	extend := func() error { return c.conn.SetReadDeadline(time.Now().Add(c.pongWait)) }
	c.conn.SetReadLimit(maxMessageSize)
	extend()
	c.conn.SetPongHandler(func(string) error { return extend() })
	for {
		kind, data, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		c.send <- message{kind, data}
	}
}

func (c *client) writePump() {
	ticker := time.NewTicker(c.pingPeriod)
	defer func() {
		ticker.Stop()
		c.conn.Close()
		for range c.send { // readPump may be waiting to hand over one more
		}
	}()
	for {
		select {
		case m, open := <-c.send:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if !open {
				return
			}
			if err := c.conn.WriteMessage(m.kind, m.data); err != nil {
				return
			}
		case <-ticker.C:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if err := c.conn.WriteMessage(websocket.PingMessage, nil); err != nil {
				return
			}
		}
	}
}

func milliseconds(argument string) time.Duration {
	number, err := strconv.Atoi(argument)
	if err != nil {
		log.Fatal(err)
	}
	return time.Duration(number) * time.Millisecond
}

func main() {
	ping, timeout := milliseconds(os.Args[2]), milliseconds(os.Args[3])
	upgrader := websocket.Upgrader{
		ReadBufferSize:  1024,
		WriteBufferSize: 1024,
		CheckOrigin:     func(*http.Request) bool { return true },
	}
	http.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			log.Println("upgrade error:", err)
			return
		}
		c := &client{conn, make(chan message, 16), ping, ping + timeout}
		go c.writePump()
		go c.readPump()
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
