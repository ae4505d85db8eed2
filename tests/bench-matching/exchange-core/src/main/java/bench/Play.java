package bench;

import exchange.core2.collections.objpool.ObjectsPool;
import exchange.core2.core.common.CoreSymbolSpecification;
import exchange.core2.core.common.MatcherEventType;
import exchange.core2.core.common.MatcherTradeEvent;
import exchange.core2.core.common.OrderAction;
import exchange.core2.core.common.OrderType;
import exchange.core2.core.common.SymbolType;
import exchange.core2.core.common.cmd.OrderCommand;
import exchange.core2.core.common.cmd.OrderCommandType;
import exchange.core2.core.common.config.LoggingConfiguration;
import exchange.core2.core.orderbook.IOrderBook;
import exchange.core2.core.orderbook.OrderBookDirectImpl;
import exchange.core2.core.orderbook.OrderBookEventsHelper;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.StringJoiner;

/**
 * Plays a stream of the benchmark on exchange-core's direct order book, without its pipeline: the book alone, on one
 * thread, as the other engines. Arguments: the stream's file, and how many runs to time. Answers with one line of JSON.
 */
public final class Play {
    private static final int HEADER_LONGS = 4;
    private static final int RECORD_LONGS = 4;
    private static final int ADD = 0;
    private static final int CANCEL = 1;
    private static final int TAKE = 2;
    /** Untimed runs, so that what is timed is compiled code. */
    private static final int WARM_RUNS = 3;
    private static final long HASH_FACTOR = 0x517cc1b727220a95L;

    /** The stream's words: a header, then records. */
    private final long[] words;
    private final int warm;
    private final int records;

    private long trades;
    private long lots;
    private long hash;

    private Play(Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file)) {
            ByteBuffer bytes = ByteBuffer.allocateDirect((int) channel.size()).order(ByteOrder.LITTLE_ENDIAN);
            while (bytes.hasRemaining() && channel.read(bytes) >= 0) {
                continue;
            }
            bytes.flip();
            words = new long[bytes.remaining() / Long.BYTES];
            bytes.asLongBuffer().get(words);
        }
        warm = (int) words[1];
        records = warm + (int) words[2];
    }

    private static IOrderBook newBook() {
        CoreSymbolSpecification symbol =
                CoreSymbolSpecification.builder().symbolId(1).type(SymbolType.FUTURES_CONTRACT).build();
        return new OrderBookDirectImpl(
                symbol,
                ObjectsPool.createDefaultTestPool(),
                OrderBookEventsHelper.NON_POOLED_EVENTS_HELPER,
                LoggingConfiguration.DEFAULT);
    }

    /** Plays records from one place to another; one command object is reused, as in the engine's own ring. */
    private void run(IOrderBook book, int from, int to, boolean hashes) {
        OrderCommand command = new OrderCommand();
        command.symbol = 1;
        for (int record = from; record < to; record++) {
            int at = HEADER_LONGS + record * RECORD_LONGS;
            long first = words[at];
            long last = words[at + 3];
            int kind = (int) (first & 0xff);
            command.uid = first >>> 32;
            command.orderId = words[at + 1];
            command.action = (first >>> 8 & 1) == 1 ? OrderAction.ASK : OrderAction.BID;
            command.price = last & 0xffffffffL;
            command.size = last >>> 32;
            command.matcherEvent = null;
            if (kind == ADD || kind == TAKE) {
                command.command = OrderCommandType.PLACE_ORDER;
                command.orderType = kind == TAKE ? OrderType.IOC : OrderType.GTC;
                command.reserveBidPrice = command.price;
                book.newOrder(command);
            } else if (kind == CANCEL) {
                command.command = OrderCommandType.CANCEL_ORDER;
                book.cancelOrder(command);
            } else {
                command.command = OrderCommandType.MOVE_ORDER;
                book.moveOrder(command);
            }
            for (MatcherTradeEvent event = command.matcherEvent; event != null; event = event.nextEvent) {
                if (event.eventType == MatcherEventType.TRADE) {
                    trade(event, hashes);
                }
            }
        }
    }

    private void trade(MatcherTradeEvent event, boolean hashes) {
        trades++;
        lots += event.size;
        if (hashes) {
            hash(event.matchedOrderId);
            hash(event.price);
            hash(event.size);
        }
    }

    private void hash(long word) {
        hash = (Long.rotateLeft(hash, 5) ^ word) * HASH_FACTOR;
    }

    private static long heapAfterCollection() {
        System.gc();
        Runtime runtime = Runtime.getRuntime();
        return runtime.totalMemory() - runtime.freeMemory();
    }

    private long time() {
        IOrderBook book = newBook();
        run(book, 0, warm, false);
        System.gc();
        ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        long start = threads.getCurrentThreadCpuTime();
        run(book, warm, records, false);
        return threads.getCurrentThreadCpuTime() - start;
    }

    public static void main(String[] words) throws IOException {
        Play play = new Play(Path.of(words[0]));
        int runs = Integer.parseInt(words[1]);
        long before = heapAfterCollection();
        IOrderBook book = newBook();
        play.run(book, 0, play.warm, true);
        long bytes = Math.max(heapAfterCollection() - before, 0) / Math.max(play.warm, 1);
        play.run(book, play.warm, play.records, true);
        long live = book.getOrdersNum(OrderAction.BID) + book.getOrdersNum(OrderAction.ASK);
        String outcome = String.format(
                "{\"trades\":%d,\"lots\":%d,\"hash\":%s,\"live\":%d}",
                play.trades, play.lots, Long.toUnsignedString(play.hash), live);
        book = null;
        for (int run = 0; run < WARM_RUNS; run++) {
            play.time();
        }
        StringJoiner times = new StringJoiner(",");
        for (int run = 0; run < runs; run++) {
            times.add(Long.toString(play.time()));
        }
        System.out.printf("{\"outcome\":%s,\"ns\":[%s],\"bytes_per_order\":%d}%n", outcome, times, bytes);
    }
}
